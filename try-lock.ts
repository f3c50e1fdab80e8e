// One `waygate try` per directory. The lock is a Unix socket in it, held by the process that listens:
// the system gives it up with the process, however that ends, and no process id can be mistaken.
import { once } from 'node:events';
import { mkdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join, relative } from 'node:path';
import { TryError } from './try-error.ts';

export interface DirectoryLock {
  release(): void;
}

/** The holder answers on its own machine at once; a stalled one still holds the lock. */
const ANSWER_TIMEOUT_MS = 1_000;

/** unix(7) has 108 bytes with the final zero; macOS has 104. */
const SOCKET_PATH_BYTES_MAX = 103;

/** Takes the directory, which is made if it is absent; rejects when another `try` has it. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = socketPath(directory);
  const holder = await askHolder(path);
  if (holder !== undefined) {
    throw new TryError(
      `Another "waygate try" (process ${holder}) uses ${directory}. ` +
        'Stop it, or give this one another --dir and --port.',
    );
  }
  await unlink(path).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  });
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  server.listen(path);
  await once(server, 'listening');
  server.unref();
  return { release: () => close(server) };
}

function close(server: Server): void {
  // Closing removes the socket's file too.
  server.close();
}

/** As short as it can be said: a deep checkout has paths that are too long for a socket. */
function socketPath(directory: string): string {
  const whole = join(directory, 'try.sock');
  const short = relative(process.cwd(), whole);
  const path = short.length < whole.length ? short : whole;
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  throw new TryError(
    `The path ${directory} is too long for the socket that locks it. Choose a shorter --dir.`,
  );
}

/** The process that holds the lock, or `undefined` when nobody does. */
async function askHolder(path: string): Promise<string | undefined> {
  const socket = connect(path);
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
  let answer = '';
  try {
    await once(socket, 'connect');
    for await (const chunk of socket) answer += String(chunk);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  } finally {
    socket.destroy();
  }
  return /^[0-9]{1,10}$/.test(answer) ? answer : 'unknown';
}
