// The Connection field (RFC 9110 section 7.6.1): what a sender says of this connection alone.
import { fieldKind, isToken } from './fields.ts';

export interface Connection {
  readonly close: boolean;
  readonly upgrade: boolean;
  /** Other fields that must not be sent on, in lower case. */
  readonly named: readonly string[];
}

/**
 * Reads the value (several lines joined by commas). `undefined`: malformed, or it names a field that
 * must reach the other side. Obeying would let a visitor take away what the entrance relies on
 * (framing, Host), what it adds, or another one's credentials behind a cache.
 */
export function readConnection(value: string | undefined): Connection | undefined {
  switch (value) {
    case undefined:
    case 'keep-alive':
      return PLAIN;
    case 'close':
      return CLOSE;
    case 'Upgrade':
      return UPGRADE;
    default:
      return readOptions(value.toLowerCase());
  }
}

/** The fields without those that Connection named. */
export function withoutNamed(fields: string[], named: readonly string[]): string[] {
  if (named.length === 0) return fields;
  const kept: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    if (!named.includes(name.toLowerCase())) kept.push(name, fields[at + 1] ?? '');
  }
  return kept;
}

function readOptions(value: string): Connection | undefined {
  let close = false;
  let upgrade = false;
  const named: string[] = [];
  for (const element of value.split(',')) {
    const option = trimBlanks(element);
    if (option === '' || option === 'keep-alive') continue;
    if (!isToken(option)) return undefined;
    if (option === 'close') close = true;
    else if (option === 'upgrade') upgrade = true;
    else {
      const kind = fieldKind(option);
      if (kind === 'plain') named.push(option);
      else if (!OBEYED.has(kind)) return undefined;
    }
  }
  return { close, upgrade, named };
}

/** `trim()` would also take away characters that are no white space in a field. */
export function trimBlanks(text: string): string {
  let from = 0;
  let stop = text.length;
  while (from < stop && isBlank(text.charCodeAt(from))) from += 1;
  while (stop > from && isBlank(text.charCodeAt(stop - 1))) stop -= 1;
  return text.slice(from, stop);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

const PLAIN: Connection = { close: false, upgrade: false, named: [] };
const CLOSE: Connection = { close: true, upgrade: false, named: [] };
const UPGRADE: Connection = { close: false, upgrade: true, named: [] };

/** Kinds that are dropped or re-created anyway, so that naming them changes nothing. */
const OBEYED: ReadonlySet<string> = new Set(['hop', 'connection', 'te', 'trailer']);
