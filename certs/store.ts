// Key and certificate files of one directory. The contract: a reader sees the old content or the new,
// never a part, whatever crashes or fills up in between; what `write` and `create` have acknowledged
// survives a power cut. Files have mode 0600, the directory 0700. Entries are flat file names. What root
// replaces stays its owner's, from the first instant.
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';

export type StoreErrorCode = 'ERR_STORE_WRITE' | 'ERR_STORE_READ';

/** The message names the file and the reason, never the content. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface Store {
  readonly directory: string;
  /** `undefined`: there is no such entry. */
  read(entry: string): Promise<string | undefined>;
  /** Replaces the entry. `mode` is for what everybody may read, such as the CA's certificate. */
  write(entry: string, content: string, mode?: number): Promise<void>;
  /** Writes the entry if there is none; false if there is one, also when another process was faster. */
  create(entry: string, content: string): Promise<boolean>;
  /** Removes the entry; it may be absent. */
  remove(entry: string): Promise<void>;
  /** All entries, in no order. */
  list(): Promise<string[]>;
}

/** Opens a directory, which is made if it is absent, and clears what a crash left behind. */
export async function openStore(directory: string): Promise<Store> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw failure('ERR_STORE_WRITE', directory, error);
  });
  await sweep(directory);
  return {
    directory,
    read: (entry) => readEntry(join(directory, checked(entry))),
    write: (entry, content, mode = 0o600) =>
      place(directory, entry, { content, mode }, async (temporary, file) => {
        await rename(temporary, file);
        return true;
      }).then(() => undefined),
    create: (entry, content) =>
      place(directory, entry, { content, mode: 0o600 }, async (temporary, file) => {
        const placed = await linked(temporary, file);
        await unlink(temporary);
        return placed;
      }),
    remove: (entry) => removeEntry(directory, checked(entry)),
    list: async () => (await readdir(directory)).filter((entry) => !entry.startsWith(TEMPORARY)),
  };
}

/** Longer than any write takes, shorter than it would take crashes to fill a disk. */
const TEMPORARY_AGE_MAX_MS = 3_600_000;
const TEMPORARY = '.tmp-';

async function readEntry(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw failure('ERR_STORE_READ', file, error);
  }
}

async function removeEntry(directory: string, entry: string): Promise<void> {
  try {
    await rm(join(directory, entry), { force: true });
    await syncDirectory(directory);
  } catch (error) {
    throw failure('ERR_STORE_WRITE', join(directory, entry), error);
  }
}

/** Whole and durable under a temporary name first; then `settle` gives it its own, in one step. */
async function place(
  directory: string,
  entry: string,
  { content, mode }: { content: string; mode: number },
  settle: (temporary: string, file: string) => Promise<boolean>,
): Promise<boolean> {
  const file = join(directory, checked(entry));
  const temporary = join(directory, TEMPORARY + randomBytes(9).toString('base64url'));
  try {
    const owner = await ownerOf(file);
    const handle = await open(temporary, 'wx', 0o600);
    try {
      if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
      // The umask has no say in it: somebody may have to read the file beside its owner.
      await handle.chmod(mode);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const placed = await settle(temporary, file);
    await syncDirectory(directory);
    return placed;
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw failure('ERR_STORE_WRITE', file, error);
  }
}

/** Root may run a verb for a relay that is somebody else, who must read the file afterwards. */
async function ownerOf(file: string): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  return stat(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

async function linked(temporary: string, file: string): Promise<boolean> {
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** The new name is on the disk only once the directory is (fsync(2)). */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A young one may belong to another process that is writing now. */
async function sweep(directory: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith(TEMPORARY)) continue;
    const handle = await open(join(directory, entry), 'r').catch(() => undefined);
    if (handle === undefined) continue;
    const { mtimeMs } = await handle.stat().finally(() => handle.close());
    if (Date.now() - mtimeMs > TEMPORARY_AGE_MAX_MS)
      await rm(join(directory, entry), { force: true });
  }
}

/** Entries are made of hostnames by us; anything else is a bug that must not leave the directory. */
function checked(entry: string): string {
  if (!/^[a-z0-9_][a-z0-9_.-]*$/.test(entry)) throw new RangeError(`Not an entry: ${entry}`);
  return entry;
}

function failure(code: StoreErrorCode, file: string, cause: unknown): StoreError {
  const verb = code === 'ERR_STORE_READ' ? 'read' : 'written';
  const reason = errorCode(cause) ?? 'unknown error';
  const message = `${file} could not be ${verb} (${reason}). ${nextStep(reason)}`;
  return new StoreError(code, message, { cause });
}

function nextStep(reason: string): string {
  switch (reason) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'The disk is full; make room.';
    case 'EROFS':
      return 'The file system is mounted read-only; mount it for writing.';
    case 'EACCES':
    case 'EPERM':
      return 'Give the directory to the user that runs Waygate.';
    default:
      return 'Check the path and the disk.';
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
