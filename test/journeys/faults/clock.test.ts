// A device with a wrong clock (F-5): boards without a battery start in 1970. No certificate is valid
// then; the pinned vendor key, and the relay's own clock, decide. And what only looks like that relay is
// refused at any time.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCertificates } from '../../../device-client/certificate-status.ts';
import { at } from '../../world/faked-time.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { requires } from '../../world/requires.ts';
import { ask, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const need = requires('faketime');

describe.skipIf(need.skip).concurrent('a device whose clock is wrong', { timeout: 60_000 }, () => {
  it.each([
    ['in 1970', '@1970-01-01 00:01:00', /is not valid yet\. The relay has proven itself/],
    ['ten years ahead', '+3650d', /has expired\. The relay has proven itself/],
    ['a minute behind', '-60s', undefined],
    ['an hour ahead', '+1h', undefined],
  ])('F-5 connects within 30 s: %s', async (_, time, warning) => {
    await using workspace = await startWorkspace('here');
    await using vendor = await Installation.make();
    const files = await vendor.device('alice', { code: workspace.target });
    await vendor.relay();
    const url = `https://code.alice.${ZONE}:${vendor.port}/`;
    const startedAtMs = performance.now();
    const device = files.run({ under: at(time) });
    await untilStatus(vendor, url, 200, 30_000);
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    expect((await ask(vendor, url)).body).toBe('here');
    // By the time of the relay, its own certificate is due in two months, and not now or never.
    const certificates = join(vendor.folder, 'alice', 'certificates');
    await device.said(/^own certificate: a new one is here$/, 30_000);
    const leaf = new X509Certificate(readFileSync(join(certificates, 'alice.pem')));
    expect(leaf.subjectAltName).toBe(`DNS:alice.${ZONE}, DNS:*.alice.${ZONE}`);
    const [entry] = await readCertificates(certificates);
    const days = (Date.parse(entry?.renewAt ?? '') - Date.now()) / 86_400_000;
    expect([Math.round(days / 10), entry?.problem]).toEqual([6, undefined]);
    const warnings = device.log.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    if (warning === undefined) expect(warnings).toEqual([]);
    else expect(warnings[0]).toMatch(warning);
    expect(await device.end('SIGTERM')).toBe(0);
  });

  it('F-5 refuses another vendor at any time', async () => {
    await using vendor = await Installation.make();
    await using other = await Installation.make();
    const files = await vendor.device('alice', { code: 'http://127.0.0.1:9' });
    files.write({
      workspaces: { code: 'http://127.0.0.1:9' },
      vendorKey: other.vendorKey.text,
    });
    await vendor.relay();
    const device = files.run({ under: at('@1970-01-01 00:01:00') });
    expect(await device.ended).toBe(1);
    expect(device.words()).toMatch(/not signed by the vendor key/);
  });
});
