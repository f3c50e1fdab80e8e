// A TLS server of Node's own that does nothing with its connections: what a handshake costs before any
// line of ours is run. Arguments: certificate file, key file. Tells its port over IPC.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';

const [cert = '', key = ''] = process.argv.slice(2);

const server = createServer(
  { cert: readFileSync(cert), key: readFileSync(key), ALPNProtocols: ['http/1.1'] },
  (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
  },
);
server.on('tlsClientError', () => undefined);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address !== 'string') process.send?.({ port: address.port });
});
