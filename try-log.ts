// What the programs of `waygate try` leave behind and say: their log files, and their messages.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import type { ProgramMessage } from './program.ts';

const LOG_LIMITS = {
  /** A log that has grown beyond this is put aside at the next start, over the one put aside before. */
  fileBytesMax: 8_388_608,
  /** Of the end of a log, looked at when a program is gone. */
  tailBytes: 8_192,
  /** Lines of it that a person is shown. */
  tailLines: 5,
} as const;

/** Puts a large log aside, to `FILE.old`. */
export async function turnLog(file: string): Promise<void> {
  if (logBytes(file) > LOG_LIMITS.fileBytesMax) await rename(file, `${file}.old`);
}

/** 0 when there is none. */
export function logBytes(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** What a person should see of the end of a log: errors, and what is no log line at all. */
export function lastErrors(file: string, fromByte: number): string[] {
  const size = logBytes(file);
  const start = Math.max(fromByte, size - LOG_LIMITS.tailBytes);
  const tail = Buffer.alloc(Math.max(0, size - start));
  if (tail.length === 0) return [];
  const descriptor = openSync(file, 'r');
  readSync(descriptor, tail, 0, tail.length, start);
  closeSync(descriptor);
  const errors = tail.toString('utf8').split('\n').flatMap(errorLine);
  return errors.slice(-LOG_LIMITS.tailLines);
}

/** A message of the program's, if it is one. */
export function parseProgramMessage(value: unknown): ProgramMessage | undefined {
  if (!isRecord(value)) return undefined;
  const { event, why, message, ops } = value;
  if (event === 'not-ready' && typeof why === 'string') return { event, why };
  if (event === 'failed' && typeof message === 'string') return { event, message };
  if (event !== 'ready' || !isRecord(ops)) return undefined;
  const { url } = ops;
  return typeof url === 'string' ? { ...value, event, ops: { url } } : undefined;
}

/** pino's number for `error`. */
const ERROR_LEVEL = 50;

function errorLine(line: string): string[] {
  if (line.trim() === '') return [];
  if (!line.startsWith('{')) return [line];
  try {
    const entry: unknown = JSON.parse(line);
    if (!isRecord(entry) || typeof entry['level'] !== 'number') return [line];
    return entry['level'] >= ERROR_LEVEL ? [String(entry['msg'])] : [];
  } catch {
    return [];
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
