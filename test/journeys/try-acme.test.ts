// `waygate try` with an ACME server in place of the local authority: a real Pebble, which looks at our own
// name server, and refuses a fifth of all nonces.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parseTryAuthority } from '../../try-authority.ts';
import { UsageError } from '../../usage-error.ts';
import { freePort } from '../world/free-port.ts';
import { PebbleServer } from '../world/pebble.ts';
import { requires } from '../world/requires.ts';
import { shownCertificate } from '../world/shown-certificate.ts';
import { readyLine, startTrial, type Trial } from '../world/trial.ts';
import { jsonOf, runVerb } from '../world/verb.ts';
import { ask } from '../world/visits.ts';

const need = requires('pebble');
const ZONE = 'vendor.localhost';

const folders: string[] = [];
const trials: Trial[] = [];

function directory(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-try-'));
  folders.push(folder);
  return folder;
}

/** The name server on that port, and certificates of that authority. */
function start(folder: string, dnsPort: number, pebble: PebbleServer): Trial {
  const caFile = join(folder, 'directory.pem');
  writeFileSync(caFile, pebble.caPem);
  const acme = ['--acme', pebble.directoryUrl, '--acme-ca', caFile];
  const trial = startTrial(folder, '--port', '0', '--dns-port', `${dnsPort}`, '--json', ...acme);
  trials.push(trial);
  return trial;
}

afterEach(async () => {
  for (const { child, ended } of trials.splice(0)) {
    child.kill('SIGTERM');
    await ended;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** The words of a log, and that none is worse than a warning. */
function logOf(folder: string, program: string): string[] {
  const text = readFileSync(join(folder, `${program}.log`), 'utf8');
  expect(text).not.toMatch(/"level":[56]0/);
  return text
    .trimEnd()
    .split('\n')
    .map((line): string => JSON.parse(line).msg);
}

describe.skipIf(need.skip)('waygate try --acme', { timeout: 120_000 }, () => {
  it('is ready with certificates of that authority, and serves them again without it', async () => {
    const folder = directory();
    const dnsPort = await freePort();
    const dnsServer = `127.0.0.1:${dnsPort}`;
    const pebble = await PebbleServer.start({ dnsServer, strict: true, nonceRejectPercent: 20 });
    await using _ = pebble;
    const caPem = await pebble.rootPem();
    const trial = start(folder, dnsPort, pebble);
    const ready = await readyLine(trial);
    const { port, address } = ready.relay;
    const door = { address, port, caPem };
    const first = await shownCertificate(door, `hello.demo.${ZONE}`);
    expect(first.issuer).toContain('Pebble');
    const portal = await shownCertificate(door, `my.${ZONE}`);
    expect(portal.subjectAltName).toBe(`DNS:*.${ZONE}, DNS:${ZONE}`);
    const url = ready.workspaces['hello'] ?? '';
    expect((await ask(door, url)).status).toBe(200);
    // What curl does with --cacert: the top of the chain is no root, and is trusted all the same.
    const trusted = { ...door, caPem: readFileSync(ready.ca, 'utf8') };
    expect((await ask(trusted, url, { allowPartialTrustChain: true })).status).toBe(200);

    const config = ['--config', join(folder, 'relay.yaml')];
    await expect
      .poll(() => jsonOf('relay', 'certs', ...config), { timeout: 60_000, interval: 1_000 })
      .toMatchObject([
        { subject: `demo.${ZONE}`, purpose: 'device', state: 'issued', ca: 'acme' },
        { subject: `demo.${ZONE}`, purpose: 'relay', state: 'issued', lastError: null },
        { subject: ZONE, purpose: 'relay', state: 'issued', names: [`*.${ZONE}`, ZONE] },
      ]);
    const own = await shownCertificate(door, `hello.demo.${ZONE}`);
    expect(own.subjectAltName).toBe(`DNS:*.demo.${ZONE}, DNS:demo.${ZONE}`);
    trial.child.kill('SIGTERM');
    expect(await trial.ended).toBe(0);
    await pebble[Symbol.asyncDispose]();

    const again = await readyLine(start(folder, dnsPort, pebble));
    const kept = { ...door, port: again.relay.port };
    const shown = await shownCertificate(kept, `hello.demo.${ZONE}`);
    expect(shown.fingerprint256).toBe(own.fingerprint256);
    expect((await ask(kept, again.workspaces['hello'] ?? '')).status).toBe(200);
    expect(logOf(folder, 'relay')).toContain('a certificate was issued');
  });

  it('tells a person why the authority signs nothing, and a stop ends the waiting at once', async () => {
    const folder = directory();
    const externalAccounts = { 'a-key-id': 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMw' };
    await using pebble = await PebbleServer.start({ externalAccounts });
    const trial = start(folder, await freePort(), pebble);
    await trial.said(/relay: .*has no certificate yet\. .*externalAccountBinding/);
    expect(trial.stdout()).toBe('');
    trial.child.kill('SIGTERM');
    expect(await trial.ended).toBe(0);
    expect(logOf(folder, 'relay').at(-1)).toBe('stopped');
  });

  it('says what is wrong with --acme and --acme-ca, and ends with 2', async () => {
    const file = join(directory(), 'no.pem');
    const url = 'https://127.0.0.1:14000/dir';
    const faultOf = (acme: string | undefined, ca?: string): string => {
      try {
        parseTryAuthority(acme, ca);
      } catch (error) {
        if (error instanceof UsageError) return error.message;
        throw error;
      }
      return '';
    };
    expect(faultOf(url)).toBe('');
    expect(faultOf(undefined, file)).toBe(
      '--acme-ca goes with --acme, the address of the ACME directory.',
    );
    for (const wrong of [
      '',
      'nonsense',
      'http://127.0.0.1/dir',
      'https://',
      `${url} x`,
      'file:///x',
    ]) {
      expect(faultOf(wrong)).toMatch(
        /^--acme must be the https address of an ACME directory, such /,
      );
    }
    expect(faultOf(url, file)).toBe(
      `--acme-ca: ${file} cannot be read (ENOENT). It must be a PEM file.`,
    );
    expect(faultOf(url, tmpdir())).toMatch(/cannot be read \(EISDIR\)/);
    for (const text of [
      '',
      'nonsense',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    ]) {
      writeFileSync(file, text);
      expect(faultOf(url, file)).toBe(
        `--acme-ca: ${file} has no certificate. It must be a PEM file.`,
      );
    }
    const { code, stdout, stderr } = await runVerb('try', '--acme', url, '--acme-ca', file);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('has no certificate. It must be a PEM file.');
  });
});
