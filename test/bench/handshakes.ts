// A visitor that never comes back on the same connection and keeps no TLS session: connects, asks
// once, reads the answer, over and over. Arguments: port, hostname, seconds, connections at once.
// Tells the number of connections and the seconds they took over IPC.
import { connect } from 'node:tls';

const [port = '', hostname = '', seconds = '', atOnce = ''] = process.argv.slice(2);
const REQUEST = `GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`;

const begun = performance.now();
const deadline = begun + Number(seconds) * 1_000;
const visits = await Promise.all(Array.from({ length: Number(atOnce) }, visitUntilDeadline));
const connections = visits.reduce((sum, each) => sum + each, 0);
process.send?.({ connections, seconds: (performance.now() - begun) / 1_000 });
process.disconnect?.();

async function visitUntilDeadline(): Promise<number> {
  let count = 0;
  while (performance.now() < deadline) {
    await visit();
    count += 1;
  }
  return count;
}

function visit(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({
    host: '127.0.0.1',
    port: Number(port),
    servername: hostname,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
  });
  let answered = false;
  socket.on('secureConnect', () => socket.write(REQUEST));
  socket.on('data', (bytes: Buffer) => {
    if (!answered && !bytes.toString('latin1', 0, 12).endsWith('200')) {
      reject(new Error(`Answered ${bytes.toString('latin1', 0, 40)}`));
    }
    answered = true;
  });
  socket.on('error', reject);
  socket.on('close', () => (answered ? resolve() : reject(new Error('Closed without an answer.'))));
  return promise;
}
