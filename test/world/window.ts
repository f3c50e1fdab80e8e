// A window into a network namespace: run in it, it passes connections from a Unix socket, which lies in
// no namespace, to an address in there. Usage: window.ts SOCKET HOST PORT. It ends with its stdin, so
// that the namespace never outlives whoever made it.
import { connect, createServer } from 'node:net';

const [socket = '', host = '', port = ''] = process.argv.slice(2);

createServer({ allowHalfOpen: true }, (outside) => {
  const inside = connect({ host, port: Number(port), allowHalfOpen: true });
  outside.on('error', () => inside.destroy());
  inside.on('error', () => outside.destroy());
  outside.pipe(inside).pipe(outside);
  // A connection that was cut is cut on the other side as well.
  inside.on('close', () => outside.destroy());
  outside.on('close', () => inside.destroy());
}).listen(socket, () => process.stdout.write('open\n'));

process.stdin.resume().on('end', () => process.exit(0));
