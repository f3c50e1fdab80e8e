import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { servedEverywhere } from '../../dns/propagation.ts';
import { parseRdata } from '../../dns/rdata.ts';
import { TYPE } from '../../dns/record.ts';
import { HiddenPrimary, settingOf } from '../world/hidden-primary.ts';
import { PublicNameServer } from '../world/public-name-server.ts';
import { requires } from '../world/requires.ts';
import { challenged, VENDOR_ZONE, vendorZone } from '../world/vendor-zone.ts';
import { until } from '../world/visits.ts';
import { serialOf } from '../world/zone-serial.ts';

const need = requires('knotd', 'dig', 'delv');
const run = promisify(execFile);

describe.skipIf(need.skip)('Knot as signer of the zone', { timeout: 60_000 }, () => {
  let primary: HiddenPrimary;
  let signer: PublicNameServer;
  let folder = '';

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'waygate-anchor-'));
    primary = await HiddenPrimary.start(vendorZone(100));
    signer = await PublicNameServer.start('knot-signer', primary.port);
    await primary.serve([{ ...settingOf('signer', signer.port), signs: true }]);
    await until(async () => (await serialOf(signer)) !== undefined, 20_000, 'the signed zone');
    writeFileSync(join(folder, 'anchor'), anchorOf(await keyOf(signer)));
  }, 60_000);

  afterAll(async () => {
    await primary?.[Symbol.asyncDispose]();
    await signer?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    ['the SOA', VENDOR_ZONE, 'SOA'],
    ['a device, by a wildcard too', `code.device-1.${VENDOR_ZONE}`, 'A'],
    ['the edge', `edge.${VENDOR_ZONE}`, 'HTTPS'],
    ['CAA at the apex', VENDOR_ZONE, 'CAA'],
  ])('%s is validated with its key', async (_, name, type) => {
    expect(await delv(name, type)).toMatch(/^; fully validated/m);
  });

  it('what is not there is validated as not there', async () => {
    expect(await delv(`nobody.${VENDOR_ZONE}`, 'A')).toMatch(/negative response, fully validated/);
    expect(await delv(VENDOR_ZONE, 'MX')).toMatch(/negative response, fully validated/);
  });

  it('an anchor of another key validates nothing', async () => {
    const wrong = anchorOf(`257 3 13 ${Buffer.alloc(64, 7).toString('base64')}`);
    writeFileSync(join(folder, 'wrong'), wrong);
    expect(await delv(VENDOR_ZONE, 'SOA', 'wrong')).not.toMatch(/fully validated/);
  });

  it('a change is signed and served within moments', async () => {
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const text = `"token-${round}"`;
      primary.source.apply([challenged('device-1', [`token-${round}`])]);
      const report = await servedEverywhere({
        servers: [signer.named()],
        owner: `_acme-challenge.device-1.${VENDOR_ZONE}`,
        type: TYPE.TXT,
        value: parseRdata(TYPE.TXT, text) ?? Buffer.alloc(0),
        signal: AbortSignal.timeout(10_000),
      });
      expect(report.everywhere, signer.words()).toBe(true);
      times.push(report.servers[0]?.afterMs ?? Number.NaN);
      expect(await delv(`_acme-challenge.device-1.${VENDOR_ZONE}`, 'TXT')).toContain(text);
    }
    process.stdout.write(`TXT signed and served after its change: ${times.join(', ')} ms\n`);
    expect(Math.max(...times)).toBeLessThan(5_000);
  });

  async function delv(name: string, type: string, anchor = 'anchor'): Promise<string> {
    const where = ['@127.0.0.1', '-p', `${signer.port}`, '-a', join(folder, anchor)];
    const args = [...where, `+root=${VENDOR_ZONE}`, name, type];
    const { stdout, stderr } = await run('delv', args).catch((error) => error);
    return stdout + stderr;
  }
});

async function keyOf({ port }: PublicNameServer): Promise<string> {
  const args = ['@127.0.0.1', '-p', `${port}`, VENDOR_ZONE, 'DNSKEY', '+short'];
  const keys = (await run('dig', args)).stdout.trim().split('\n');
  // One key for everything, of algorithm 13, ECDSA P-256.
  expect(keys).toEqual([expect.stringMatching(/^257 3 13 /)]);
  return keys[0] ?? '';
}

function anchorOf(key: string): string {
  const [flags, protocol, algorithm, ...data] = key.split(' ');
  const fields = `${flags} ${protocol} ${algorithm} "${data.join('')}"`;
  return `trust-anchors { "${VENDOR_ZONE}" static-key ${fields}; };\n`;
}
