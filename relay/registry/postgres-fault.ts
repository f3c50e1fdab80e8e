// What is wrong with the registry's PostgreSQL, in words for the operator. No message repeats the URL.
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';

/** The fault behind an error of the driver; what is none of the database's comes back unchanged. */
export function postgresFault(error: unknown, title: string): unknown {
  if (!(error instanceof Error) || error instanceof RegistryError) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const fault = FAULTS.find(({ codes, words }) =>
    code === undefined ? words.test(error.message) : codes.test(code),
  );
  if (fault === undefined) return error;
  const told = code === undefined ? error.message : code;
  return new RegistryError(fault.code, fault.message(`The ${title}`, told), { cause: error });
}

interface Fault {
  /** SQLSTATE (postgresql.org, appendix A) or the code of a system call. */
  readonly codes: RegExp;
  /** What the driver says by itself, without a code. */
  readonly words: RegExp;
  readonly code: RegistryErrorCode;
  readonly message: (title: string, told: string) => string;
}

const NEVER = /(?!)/;

const FAULTS: readonly Fault[] = [
  {
    // Locks, deadlocks, serialization, and statements that took too long.
    codes: /^(55P03|40P01|40001|57014)$/,
    words: NEVER,
    code: 'ERR_REGISTRY_BUSY',
    message: (title, told) =>
      `${title} is busy (${told}): somebody holds a lock. Try again; if it stays, look into pg_locks.`,
  },
  {
    codes: /^53100$/,
    words: NEVER,
    code: 'ERR_REGISTRY_FULL',
    message: (title) => `There is no room on the disk of the server for the ${title}. Make room.`,
  },
  {
    codes: /^25006$/,
    words: NEVER,
    code: 'ERR_REGISTRY_UNAVAILABLE',
    message: (title) =>
      `${title} is read-only: a standby, or set so. Point the URL to the primary, or promote this one.`,
  },
  {
    codes: /^(28...|3D000|42501)$/,
    words: /SASL|password/i,
    code: 'ERR_REGISTRY_UNAVAILABLE',
    message: (title, told) =>
      `${title} lets nobody in with this URL (${told}). Check user, password, database and rights.`,
  },
  {
    codes: /^(42P01|42703|3F000)$/,
    words: NEVER,
    code: 'ERR_REGISTRY_MISSING',
    message: (title, told) => `${title} has lost its tables (${told}). Restore it from a backup.`,
  },
  {
    codes: /^XX00[12]$/,
    words: NEVER,
    code: 'ERR_REGISTRY_DAMAGED',
    message: (title, told) => `${title} is damaged (${told}). Restore it from a backup.`,
  },
  {
    codes: /^(08...|53...|57P0.|58...|XX000|E[A-Z]+)$/,
    words:
      /^(Connection terminated|timeout|Query read timeout|Client has|Client was|The server|Cannot use|driver has)/,
    code: 'ERR_REGISTRY_UNAVAILABLE',
    message: (title, told) =>
      `${title} does not answer (${told}). See whether the server runs and can be reached from here.`,
  },
];
