// Codes that people copy, tokens that programs keep, and ids. What gives a right to whoever knows it is
// stored only as its SHA-256, which is enough: it is drawn at random, so there is nothing to try from a
// list. Looking a hash up tells nothing by its timing: nobody can choose what a text hashes to.
import { createHash, randomBytes } from 'node:crypto';

/** A code of one kind is worth nothing as one of another. */
export type CodeKind = 'claim' | 'order' | 'transfer';

export interface Code {
  /** As it is shown; kept nowhere. */
  readonly text: string;
  readonly hash: string;
}

export interface Token {
  readonly text: string;
  readonly hash: string;
}

interface Shape {
  /** Told in front of the code, so that a person sees what it is for. */
  readonly prefix: string;
  /** Five bits each. */
  readonly chars: number;
  /** Characters between two hyphens, as many as a person keeps in mind. */
  readonly group: number;
}

const SHAPES: Readonly<Record<CodeKind, Shape>> = {
  // 40 bits: short enough to type, and guarded by attempts.ts for the quarter of an hour that it lives.
  claim: { prefix: '', chars: 8, group: 4 },
  // 100 bits: it lives for a year and must not be found by any number of tries.
  order: { prefix: 'WG', chars: 20, group: 5 },
  transfer: { prefix: 'WT', chars: 20, group: 5 },
};

/** Crockford's base 32: no letter that is taken for a digit, and no U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** The longest code with hyphens and some stray spaces; longer texts are not looked at. */
const TYPED_CHARS_MAX = 48;

export function makeCode(kind: CodeKind): Code {
  const { prefix, chars, group } = SHAPES[kind];
  const symbols = randomSymbols(chars);
  const groups = symbols.match(new RegExp(`.{${group}}`, 'g')) ?? [];
  const text = [...(prefix === '' ? [] : [prefix]), ...groups].join('-');
  return { text, hash: hash(kind, symbols) };
}

/** The hash of a code that somebody typed, in any spelling; `undefined`: it is no such code. */
export function hashTypedCode(kind: CodeKind, typed: string): string | undefined {
  // Judged before any change of case: U+017F is an `S` afterwards.
  if (typed.length > TYPED_CHARS_MAX || !/^[0-9A-Za-z\s-]+$/.test(typed)) return undefined;
  const { prefix, chars } = SHAPES[kind];
  const bare = typed.toUpperCase().replaceAll(/[\s-]/g, '');
  const prefixed = bare.length === prefix.length + chars && bare.startsWith(prefix);
  const symbols = (prefixed ? bare.slice(prefix.length) : bare)
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1');
  if (symbols.length !== chars || symbols.includes('U')) return undefined;
  return hash(kind, symbols);
}

/** 256 bits for a program to keep: sessions, links, and what takes a challenge away again. */
export function makeToken(): Token {
  const text = randomBytes(32).toString('base64url');
  return { text, hash: hashToken(text) };
}

export function hashToken(text: string): string {
  return hash('token', text);
}

/** 80 bits in lower case: a row's id, which may stand in an address or a log. */
export function makeId(): string {
  return randomSymbols(16).toLowerCase();
}

/** 100 bits as a DNS label: a CNAME target that nobody hits upon by chance. */
export function makeTargetLabel(): string {
  return randomSymbols(20).toLowerCase();
}

/** 128 bits for a TXT record. */
export function makeProof(): string {
  return randomBytes(16).toString('base64url');
}

function randomSymbols(count: number): string {
  return Array.from(randomBytes(count), (byte) => ALPHABET.charAt(byte & 31)).join('');
}

function hash(kind: CodeKind | 'token', text: string): string {
  return createHash('sha256').update(`waygate ${kind} ${text}`).digest('base64url');
}
