// What a person is told when a program cannot go on: what happened, why, what to do; one sentence or
// two, no stack. Errors of ours carry such a message already; those of the system get one here.

/** The sentence for an error of any kind. */
export function failureSentence(error: unknown): string {
  if (!(error instanceof Error)) return `Something failed: ${String(error)}`;
  const code = 'code' in error ? error.code : undefined;
  const system = typeof code === 'string' ? systemSentence(code, error) : undefined;
  return system ?? error.message;
}

/** Whether the error is a fault of the program itself, so that its stack is worth showing. */
export function isBug(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  return BUGS.has(error.name) || (error.name === 'Error' && !('code' in error));
}

const BUGS: ReadonlySet<string> = new Set([
  'AssertionError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'TypeError',
]);

/** Ports below this one belong to root, unless the system says otherwise. */
const UNPRIVILEGED_PORT = 1024;

function systemSentence(code: string, error: Error): string | undefined {
  const port = 'port' in error && typeof error.port === 'number' ? error.port : undefined;
  const address = 'address' in error && typeof error.address === 'string' ? error.address : '';
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  if (port !== undefined) return portSentence(code, address, port);
  if (path === undefined) return undefined;
  return pathSentence(code, path);
}

function portSentence(code: string, address: string, port: number): string | undefined {
  const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return (
        `Port ${port} is in use: another program listens on ${where}. ` +
        `Find it with "ss -ltnp 'sport = :${port}'" and stop it, or choose another port.`
      );
    case 'EACCES':
      return port < UNPRIVILEGED_PORT
        ? `Port ${port} may not be opened by this user: ports below ${UNPRIVILEGED_PORT} need a ` +
            'permission. With systemd set AmbientCapabilities=CAP_NET_BIND_SERVICE; by hand run ' +
            `"setcap cap_net_bind_service=+ep ${process.execPath}"; or choose a higher port.`
        : `Port ${port} may not be opened by this user (${where}). Choose another port.`;
    case 'EADDRNOTAVAIL':
      return `The address ${address} is none of this machine's. Check the host that is to be listened on.`;
    default:
      return undefined;
  }
}

function pathSentence(code: string, path: string): string | undefined {
  switch (code) {
    case 'ENOENT':
      return `There is no ${path}. Check the path.`;
    case 'EACCES':
    case 'EPERM':
      return `This user may not use ${path}. Change its owner or mode (chown, chmod).`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is in the way: a directory was expected there. Move it, or choose another path.`;
    case 'ENOSPC':
      return `The disk is full: ${path} could not be written. Make room and start again.`;
    case 'EROFS':
      return `${path} is on a read-only file system. Choose another path.`;
    default:
      return undefined;
  }
}
