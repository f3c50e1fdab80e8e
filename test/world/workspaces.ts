// Workspaces to publish that are no sample: each says who it is, and counts who comes.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface Workspace extends AsyncDisposable {
  /** What device.yaml names. */
  readonly target: string;
  /** TCP connections since the start. */
  readonly connections: number;
  /** Cuts its connections and stops listening, as a crash does. */
  stop(): Promise<void>;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Listens on 127.0.0.1, on a free port or this one; or on the path of a Unix socket. */
export async function startWorkspace(
  answer: string | Answer,
  where: number | string = 0,
): Promise<Workspace> {
  const server = createServer((request, response) => {
    if (typeof answer === 'string') response.end(answer);
    else answer(request, response);
  });
  server.requestTimeout = 0;
  let connections = 0;
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  if (typeof where === 'string') server.listen(where);
  else server.listen(where, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const target =
    typeof address === 'object' && address !== null
      ? `http://127.0.0.1:${address.port}`
      : `unix:${address}`;
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    target,
    get connections() {
      return connections;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
