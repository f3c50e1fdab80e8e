// A device that is gone: the relay says so, since when, and in the form that the visitor reads; the
// address works again as soon as the device is back.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../../device-client/sample.ts';
import { REGISTRY_LIMITS } from '../../../relay/registry/registry.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
afterAll(() => sample.stop());

/** The time that the page tells. */
async function awaySince(vendor: Installation, url: string): Promise<number | undefined> {
  const headers = { accept: 'application/problem+json' };
  const { status, body } = await ask(vendor, url, { headers });
  expect(status).toBe(503);
  const { since } = JSON.parse(body);
  return since === undefined ? undefined : new Date(since).getTime();
}

describe.concurrent('a device that is away', { timeout: 60_000 }, () => {
  it('is told as such in HTML, JSON and text, since when, and works again when it is back', async () => {
    await using vendor = await Installation.make();
    const url = `https://hello.alice.${ZONE}:${vendor.port}/`;
    const files = await vendor.device('alice', { hello: sample.url });
    await vendor.relay();
    const device = await files.start();
    await untilStatus(vendor, url, 200, 10_000);

    const killedAtMs = Date.now();
    await device.end('SIGKILL');
    // On one machine the system itself closes the connection; half-open.test.ts has the hard case.
    expect(await untilStatus(vendor, url, 503, 30_000)).toBeLessThan(3_000);
    const sinceMs = (await awaySince(vendor, url)) ?? 0;
    expect(Math.abs(sinceMs - killedAtMs)).toBeLessThan(3_000);

    const day = new Date(sinceMs).toISOString().slice(0, 10);
    const forms = [
      ['text/html,application/xhtml+xml', 'text/html; charset=utf-8', /<h1>[^<]* away<\/h1>/],
      ['application/json', 'application/problem+json', /"urn:waygate:problem:device-away"/],
      ['*/*', 'text/plain; charset=utf-8', /^503 The device is away\n/],
    ] as const;
    for (const [accept, type, words] of forms) {
      const page = await ask(vendor, url, { headers: { accept } });
      expect([page.status, page.headers['content-type']]).toEqual([503, type]);
      expect(page.body).toMatch(words);
      expect(page.body).toContain(`away since ${day}`);
      expect(Number(page.headers['retry-after'])).toBeGreaterThan(0);
      expect(page.headers['cache-control']).toBe('no-store');
    }

    await files.start();
    await untilStatus(vendor, url, 200, 10_000);
  });

  it('is away since the moment at which it was stopped, at once', async () => {
    await using vendor = await Installation.make();
    const url = `https://hello.alice.${ZONE}:${vendor.port}/`;
    const files = await vendor.device('alice', { hello: sample.url });
    await vendor.relay();
    const device = await files.start();
    await untilStatus(vendor, url, 200, 10_000);
    expect(await device.end('SIGTERM')).toBe(0);
    const page = await ask(vendor, url);
    expect([page.status, page.body]).toEqual([503, expect.stringMatching(/away since/)]);
    expect(Math.abs(((await awaySince(vendor, url)) ?? 0) - Date.now())).toBeLessThan(5_000);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'is away since the same moment after the relay was restarted (%s)',
    async (signal) => {
      await using vendor = await Installation.make();
      const url = `https://hello.alice.${ZONE}:${vendor.port}/`;
      const files = await vendor.device('alice', { hello: sample.url });
      const relay = await vendor.relay();
      const device = await files.start();
      await untilStatus(vendor, url, 200, 10_000);
      await device.end('SIGKILL');
      const goneAtMs = Date.now();
      await untilStatus(vendor, url, 503, 10_000);
      // A relay that dies without a word keeps what it had written.
      const { thumbprint } = await files.makeKey();
      const noted = () => vendor.withRegistry((registry) => registry.lastSeenMs(thumbprint));
      if (signal === 'SIGKILL') {
        const waits = REGISTRY_LIMITS.sightingsFlushMs + 3_000;
        const wanted = async () => Math.abs(((await noted()) ?? 0) - goneAtMs) < 3_000;
        await until(wanted, waits, 'the departure in the registry');
      }
      await relay.end(signal);
      await vendor.relay();
      // The very first visitor may come before the registry has answered.
      await until(async () => (await awaySince(vendor, url)) !== undefined, 5_000, 'a time');
      const sinceMs = (await awaySince(vendor, url)) ?? 0;
      expect(Math.abs(sinceMs - goneAtMs)).toBeLessThan(3_000);
    },
  );

  it('is away without a time when it was never there; what nobody has gets no page', async () => {
    await using vendor = await Installation.make();
    await vendor.device('never', { hello: sample.url });
    await vendor.relay();
    const seen = await ask(vendor, `https://hello.never.${ZONE}:${vendor.port}/`);
    expect([seen.status, seen.body]).toEqual([503, expect.stringContaining('is not connected')]);
    expect(seen.body).not.toContain('away since');
    // A name that nobody has gets no certificate either.
    const nobody = ask(vendor, `https://hello.nobody.${ZONE}:${vendor.port}/`);
    await expect(nobody).rejects.toThrow(/unrecognized name/i);
  });
});
