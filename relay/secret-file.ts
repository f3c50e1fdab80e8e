// A file that holds one secret: a password, a URL with one in it. Only its owner may read it. No error
// repeats what it holds.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** A secret is a line. */
const SECRET_BYTES_MAX = 4_096;

class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
  readonly code = 'ERR_SECRET_FILE';
}

/** The text without the line end, or a SecretFileError that says what to do. `what`: `the password`. */
export async function readSecretFile(file: string, what: string): Promise<string> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for ever.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const message = `The file ${file} for ${what} cannot be read (${code}). Check path and owner.`;
    throw new SecretFileError(message, { cause: error });
  }
  try {
    // The open file is judged, not its path: it cannot be exchanged in between.
    const stat = await handle.stat();
    const fault = faultOf(stat.mode, stat.isFile() ? stat.size : undefined);
    if (fault !== undefined) throw new SecretFileError(`The file ${file} for ${what} ${fault}`);
    const text = (await handle.readFile('utf8')).replace(/\r?\n$/, '');
    if (text !== '' && !text.includes('\n')) return text;
    throw new SecretFileError(`The file ${file} for ${what} must hold one line, and nothing else.`);
  } finally {
    await handle.close();
  }
}

/** The end of a sentence that begins with the file. */
function faultOf(mode: number, size: number | undefined): string | undefined {
  if (size === undefined) return 'is no regular file. Check the path.';
  if (size > SECRET_BYTES_MAX) return `is too large (${size} bytes). Check the path.`;
  if ((mode & 0o077) === 0) return undefined;
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  return `has mode ${shown}: other users of this machine may read it. Set it to 0600 (chmod).`;
}
