// The text of a configuration file: a regular file of bounded size in UTF-8, or why it is none.
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

/** Room for thousands of workspaces; a larger file is something else, such as a log. */
const FILE_BYTES_MAX = 1_048_576;

/** The file cannot be used. The message is for a person: one line per fault, ready to print. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ERR_CONFIG';
}

/** The text, or a ConfigError that says why there is none. */
export function readConfigText(file: string): string {
  let descriptor: number;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for ever.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new ConfigError(`${file}: ${openSentence(error)}`, { cause: error });
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) {
      const what = stat.isDirectory() ? 'a directory' : 'no regular file';
      throw new ConfigError(`${file}: This is ${what}. Give the path of a YAML file.`);
    }
    if (stat.size > FILE_BYTES_MAX) {
      throw new ConfigError(
        `${file}: The file has ${stat.size} bytes, but a configuration has at most ` +
          `${FILE_BYTES_MAX}. Check the path.`,
      );
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const sentence =
      error instanceof TypeError
        ? 'The file is not UTF-8 text. Save it as UTF-8, or check the path.'
        : openSentence(error);
    throw new ConfigError(`${file}: ${sentence}`, { cause: error });
  } finally {
    closeSync(descriptor);
  }
}

function openSentence(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return 'There is no such file. Check the path given with --config.';
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return 'The file may not be read by this user. Change its owner or mode (chmod).';
  }
  return `The file cannot be read (${code}). Check the path given with --config.`;
}
