// Begins to listen, or says in a sentence why that cannot be and what to do about it.
import type { Server } from 'node:net';

/** Why there is no listener. */
export class ListenError extends Error {
  readonly code = 'ERR_LISTEN';
}

/** Resolves when connections are accepted; throws `ListenError`. */
export function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const why = LISTEN_ADVICE[error.code ?? ''] ?? error.message;
      reject(new ListenError(`Cannot listen on ${host} port ${port}: ${why}`, { cause: error }));
    };
    server.once('error', failed);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

/** The kernel cuts it down to net.core.somaxconn; the default of 511 is small for a storm. */
const BACKLOG = 4_096;

const LISTEN_ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses it. Stop that program, or choose another port.',
  EACCES: 'not allowed. Ports below 1024 need CAP_NET_BIND_SERVICE; or choose another port.',
  EADDRNOTAVAIL: 'this machine does not have that address. Choose one that it has.',
};
