// testssl.sh, which is not ours, looks at the relay as an attacker or an auditor would: protocols,
// ciphers, forward secrecy, the server's choices, its headers, and all the vulnerabilities it knows. A newer
// one than Debian's, where the machine has it, gives a grade.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { underAttack } from '../relay/attacks/under-attack.ts';
import { findProgram, requires } from '../world/requires.ts';

const need = requires('testssl', 'openssl');
const vendor = underAttack();
const newer = findProgram('testssl-newer');
/** A minute on a quiet machine. */
const WITHIN_MS = 600_000;

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** All but simulations of clients, which are no findings; for less there is no grade. */
const SECTIONS = ['-p', '-s', '-f', '-P', '-S', '-U', '-h'];

async function findingsOn(hostname: string, path: string): Promise<Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-testssl-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'findings.json');
  const args = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none']
    .concat(['--ip', '127.0.0.1', '--add-ca', vendor().caFile, '--jsonfile', file])
    .concat([...SECTIONS, `https://${hostname}:${vendor().port}${path}`]);
  await new Promise<void>((resolve) => {
    // Its exit code counts findings, harmless ones too.
    execFile(newer ?? 'testssl', args, { cwd: folder, timeout: WITHIN_MS }, () => resolve());
  });
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** What is not fine, as `SEVERITY id: what`. */
function faultsOf(findings: readonly Finding[], notOurs = NOT_OURS): string[] {
  return findings
    .filter(({ severity, id }) => FAULTY.has(severity) && !notOurs.has(id))
    .map(({ severity, id, finding }) => `${severity} ${id}: ${finding}`);
}

/** A `WARN` is a check that could not be made; those that matter are looked at by name. */
const FAULTY: ReadonlySet<string> = new Set(['LOW', 'MEDIUM', 'HIGH', 'CRITICAL']);

const NOT_OURS: ReadonlySet<string> = new Set([
  // Of the local authority here: nobody could revoke what it signs for this one machine.
  'cert_revocation',
  // A certificate for all workspaces of a device is what is promised.
  'cert_trust_wildcard',
]);

/** What fields an answer has is for the workspace to say, Strict-Transport-Security too. */
const NOT_OURS_AT_WORKSPACE: ReadonlySet<string> = new Set([
  ...NOT_OURS,
  'HSTS',
  'security_headers',
]);

/** That it has found out. */
const VULNERABILITIES = [
  ...['heartbleed', 'CCS', 'ticketbleed', 'ROBOT', 'secure_renego', 'secure_client_renego'],
  ...['CRIME_TLS', 'BREACH', 'POODLE_SSL', 'SWEET32', 'FREAK', 'DROWN', 'LOGJAM', 'BEAST'],
  ...['LUCKY13', 'RC4'],
];

describe.skipIf(need.skip)('T-5 testssl.sh', { timeout: WITHIN_MS }, () => {
  it('finds nothing at a workspace', async () => {
    const findings = await findingsOn(vendor().hostname, '/');
    expect(faultsOf(findings, NOT_OURS_AT_WORKSPACE)).toEqual([]);
    judge(findings);
  });

  it('finds nothing at all at the portal, which sends HSTS', async () => {
    const zone = vendor().hostname.split('.').slice(2).join('.');
    const findings = await findingsOn(`my.${zone}`, '/sign-in');
    expect(faultsOf(findings)).toEqual([]);
    judge(findings);
    expect(Number(of(findings, 'HSTS_time')?.finding.match(/\d+/)?.[0])).toBeGreaterThan(180);
  });
});

function of(findings: readonly Finding[], id: string): Finding | undefined {
  return findings.find((each) => each.id === id);
}

/** That it has looked at all, what a grade is made of, and the grade. */
function judge(findings: readonly Finding[]): void {
  for (const id of VULNERABILITIES) expect([id, of(findings, id)?.severity]).toEqual([id, 'OK']);
  const told = (id: string): string | undefined => of(findings, id)?.finding;
  for (const old of ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1']) expect(told(old)).toBe('not offered');
  expect(told('TLS1_2')).toMatch(/^offered/);
  expect(told('TLS1_3')).toMatch(/^offered/);
  expect(told('cert_keySize')).toMatch(/^EC 256 bits/);
  expect(told('cipher_order')).toMatch(/server/);
  // Its authority is known to this machine alone, which would be grade T; it is told of it.
  expect(told('cert_chain_of_trust')).toBe('passed.');
  expect(told('overall_grade')).toBe(newer === undefined ? undefined : 'A+');
  const scores = ['protocol_support_score', 'key_exchange_score', 'cipher_strength_score'];
  if (newer !== undefined) expect(scores.map(told)).toEqual(['100', '100', '90']);
}
