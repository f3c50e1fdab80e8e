// What a suite needs from the machine beyond Node: programs on PATH, or root.
// A suite that cannot run is skipped by name and loudly, so that it is counted; under CI=true it
// fails instead, because there everything is installed and a skip would be a hole in the gate.
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Requirement {
  /** For `describe.skipIf(need.skip)`. */
  readonly skip: boolean;
  /** What is missing, as a sentence; empty when nothing is. */
  readonly why: string;
}

// Debian keeps servers in the sbin folders, which are not on an ordinary user's PATH.
const SBIN = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

// A folder for each version, and none of them on PATH.
const POSTGRES = '/usr/lib/postgresql';

const told = new Set<string>();

/** Looks for each named program; the word `root` asks for what mounts and network namespaces need. */
export function requires(...programs: readonly string[]): Requirement {
  const missing = programs.filter((program) =>
    program === 'root' ? !isAdministrator() : findProgram(program) === undefined,
  );
  if (missing.length === 0) return { skip: false, why: '' };
  const why = `This suite needs ${missing.join(', ')}, which this machine does not have.`;
  if (process.env['CI'] === 'true') throw new Error(`${why} With CI=true that is a failure.`);
  if (!told.has(why)) process.stderr.write(`\nSKIPPED: ${why}\n`);
  told.add(why);
  return { skip: true, why };
}

/** CAP_SYS_ADMIN is bit 21 (capabilities(7)); root in a container often lacks it. */
function isAdministrator(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(
    readFileSync('/proc/self/status', 'latin1'),
  )?.[1];
  return (BigInt(`0x${effective ?? 0}`) & (1n << 21n)) !== 0n;
}

/** The absolute path of a program, on PATH or where Debian keeps servers; undefined when it is not there. */
export function findProgram(program: string): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter);
  const folders = [...onPath, ...SBIN, ...postgresFolders()];
  return folders.map((folder) => join(folder, program)).find(executable);
}

/** The newest version first. */
function postgresFolders(): string[] {
  try {
    const versions = readdirSync(POSTGRES).sort((one, other) => Number(other) - Number(one));
    return versions.map((version) => join(POSTGRES, version, 'bin'));
  } catch {
    return [];
  }
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
