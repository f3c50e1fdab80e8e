// The data of a PostgreSQL server that is new: a copy of what initdb has made once on this machine. initdb
// takes a second of the processor, a copy hardly anything, and forty suites want one.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { madeOnce } from './made-once.ts';
import { findProgram } from './requires.ts';

/** The user `nobody`: the server refuses to run as root. */
const NOBODY = 65_534;

const PLACE = resolve('node_modules/.cache/waygate-postgres');

export const POSTGRES_USER = { name: 'waygate', password: 'no-secret-but-never-to-be-seen' };

const SETTINGS = [
  ...['--username', POSTGRES_USER.name, '--auth', 'scram-sha-256'],
  ...['--encoding', 'UTF8', '--locale', 'C', '--no-sync'],
];

/** A folder of the server's user, with `data` in it. */
export function newPostgresFolder(): string {
  const folder = serversFolder();
  const made = template();
  if (existsSync(made)) copy(made, join(folder, 'data'));
  else {
    initialise(folder);
    madeOnce(made, (kept) => copy(join(folder, 'data'), kept));
  }
  return folder;
}

/** Programs that belong together, of the same version. */
export function unprivileged(program: 'initdb' | 'postgres', args: readonly string[]): string[] {
  const command = [join(programs(), program), ...args];
  if (process.getuid?.() !== 0) return command;
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...command];
}

function programs(): string {
  const initdb = findProgram('initdb');
  if (initdb === undefined) throw new Error('There is no PostgreSQL on this machine.');
  return dirname(realpathSync(initdb));
}

function serversFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-postgres-'));
  if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** Where it is kept: what another version or another user would make is another one. */
function template(): string {
  const facts = JSON.stringify([programs(), SETTINGS, POSTGRES_USER, process.getuid?.()]);
  return join(PLACE, createHash('sha256').update(facts).digest('hex').slice(0, 16));
}

function initialise(folder: string): void {
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, POSTGRES_USER.password, { mode: 0o644 });
  const [command = '', ...args] = unprivileged('initdb', [
    ...['--pgdata', join(folder, 'data'), '--pwfile', passwordFile],
    ...SETTINGS,
  ]);
  execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** With its owner and modes. */
function copy(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}
