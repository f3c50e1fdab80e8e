// A visitor that never comes back on the same connection: connects, does what it came for, leaves, over
// and over. Arguments: port, hostname, seconds, connections at once, and what it comes for:
//   visit    a full handshake, one request, its answer
//   full     a full handshake alone
//   resumed  a handshake that resumes the session of its first connection
// With TLS 1.3, X25519 and AES-128 whatever else a server could, so that all servers do the same work.
// Tells the number of connections and the seconds they took over IPC.
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

const [port = '', hostname = '', seconds = '', atOnce = '', purpose = 'visit'] =
  process.argv.slice(2);
const REQUEST = `GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`;

const session = purpose === 'resumed' ? await sessionOf() : undefined;
const begun = performance.now();
const deadline = begun + Number(seconds) * 1_000;
const visits = await Promise.all(Array.from({ length: Number(atOnce) }, visitUntilDeadline));
const connections = visits.reduce((sum, each) => sum + each, 0);
process.send?.({ connections, seconds: (performance.now() - begun) / 1_000 });
process.disconnect?.();

async function visitUntilDeadline(): Promise<number> {
  let count = 0;
  while (performance.now() < deadline) {
    if (purpose === 'visit') await visit();
    else await shakeHands();
    count += 1;
  }
  return count;
}

function begin(options: ConnectionOptions): TLSSocket {
  return connect({
    host: '127.0.0.1',
    port: Number(port),
    servername: hostname,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    ecdhCurve: 'X25519',
    ...options,
  });
}

function visit(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = begin({});
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

/** Until the server has closed too, so that its work is done. */
function shakeHands(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = begin(session === undefined ? {} : { session });
  socket.on('secureConnect', () => {
    const resumed = socket.isSessionReused();
    if (resumed !== (session !== undefined)) reject(new Error(`Resumed: ${resumed}.`));
    socket.end();
  });
  socket.on('error', reject);
  socket.on('close', () => resolve());
  socket.resume();
  return promise;
}

function sessionOf(): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = begin({});
  socket.once('session', (ticket: Buffer) => {
    resolve(ticket);
    socket.end();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('Closed without a session.')));
  socket.resume();
  return promise;
}
