// `dig` as a client that is not ours, and what it makes of an answer.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What two servers must agree on; texts of sections are sorted, because order means nothing. */
export interface DigAnswer {
  readonly status: string;
  /** `qr aa rd`, in dig's order. */
  readonly flags: string;
  /** `version: 0, flags: do; udp: 1232`; undefined: no OPT record. */
  readonly edns: string | undefined;
  /** `good`, `bad`, or undefined: none. */
  readonly cookie: string | undefined;
  readonly question: readonly string[];
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
}

export interface DigTarget {
  readonly address: string;
  readonly port: number;
}

/** Undefined: no answer came within two seconds. */
export async function dig(
  { address, port }: DigTarget,
  args: readonly string[],
): Promise<DigAnswer | undefined> {
  const fixed = [`@${address}`, '-p', String(port), '+norec', '+tries=1', '+time=2', '+noidnout'];
  const text = await run('dig', [...fixed, ...args]).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? '',
  );
  const status = /->>HEADER<<- opcode: \S+, status: ([A-Z0-9]+),/.exec(text)?.[1];
  if (status === undefined) return undefined;
  return {
    status,
    flags: /^;; flags: ?([a-z ]*);/m.exec(text)?.[1]?.trim() ?? '',
    edns: /^; EDNS: (.*)$/m.exec(text)?.[1],
    cookie: /^; COOKIE: \S+ \((\w+)\)/m.exec(text)?.[1],
    question: section(text, 'QUESTION'),
    answer: section(text, 'ANSWER'),
    authority: section(text, 'AUTHORITY'),
    additional: section(text, 'ADDITIONAL'),
  };
}

function section(text: string, name: string): string[] {
  const lines = new RegExp(`^;; ${name} SECTION:\\n((?:.+\\n)*)`, 'm').exec(text)?.[1] ?? '';
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replaceAll(/\s+/g, ' '))
    .sort();
}
