// A workspace that takes uploads: reads a body of known length and throws it away, at 2 GiB/s and
// more, so that it is not what is measured. nginx itself would write the body to a file first.
// Tells its port over IPC.
import { createServer, type Socket } from 'node:net';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n';

const server = createServer(take).listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port });
});
process.on('disconnect', () => process.exit());

/** One request after the other; what is left of a body counts down to the next head. */
function take(socket: Socket): void {
  let left = 0;
  let head = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes: Buffer) => {
    let rest = bytes.length;
    if (left === 0) {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return;
      left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      rest = head.length - end - 4;
      head = '';
    }
    left = Math.max(0, left - rest);
    if (left === 0) socket.write(ANSWER);
  });
}
