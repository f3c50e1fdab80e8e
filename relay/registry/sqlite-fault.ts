// What is wrong with the registry's file, in words for the operator, from what SQLite says.
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';

/** The fault of the file behind an error of SQLite; what is none of SQLite's comes back unchanged. */
export function fileFault(error: unknown, file: string): unknown {
  const result = resultCode(error);
  if (result === undefined) return systemFault(error, file);
  const fault = FAULTS.get(result);
  const cause = { cause: error };
  if (fault !== undefined) return new RegistryError(fault.code, fault.message(file), cause);
  return new RegistryError(
    'ERR_REGISTRY_UNAVAILABLE',
    `The registry ${file} cannot be used (SQLite says ${result}). Check the disk and the owner of ` +
      'the file and its directory.',
    cause,
  );
}

interface Fault {
  readonly code: RegistryErrorCode;
  readonly message: (file: string) => string;
}

/** Errors of the file system, and of a connection that was closed while a query was on its way. */
function systemFault(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (error.code !== 'ERR_INVALID_STATE' && !('syscall' in error)) return error;
  return new RegistryError(
    'ERR_REGISTRY_UNAVAILABLE',
    `The registry ${file} cannot be used (${error.code}). Check the path and its owner.`,
    { cause: error },
  );
}

/** Primary result codes (sqlite.org/rescode.html). */
const FAULTS: ReadonlyMap<number, Fault> = new Map<number, Fault>([
  [5, { code: 'ERR_REGISTRY_BUSY', message: busy }],
  [6, { code: 'ERR_REGISTRY_BUSY', message: busy }],
  [11, { code: 'ERR_REGISTRY_DAMAGED', message: damaged }],
  [13, { code: 'ERR_REGISTRY_FULL', message: full }],
  [26, { code: 'ERR_REGISTRY_DAMAGED', message: damaged }],
]);

function full(file: string): string {
  return `There is no room on the disk for the registry ${file}. Make room.`;
}

function busy(file: string): string {
  return `Another program holds the registry ${file} locked. Try again; if it stays, end that program.`;
}

function damaged(file: string): string {
  return (
    `The registry ${file} is damaged, or is no registry. Put a backup in its place (and remove ` +
    `${file}-wal and ${file}-shm first).`
  );
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}
