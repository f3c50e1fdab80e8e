// A zone of 200,000 records to Knot, NSD, BIND and a signer at once, then changes to it one by one.
import { describe, expect, it } from 'vitest';
import { servedEverywhere } from '../../dns/propagation.ts';
import { parseRdata } from '../../dns/rdata.ts';
import { TYPE } from '../../dns/record.ts';
import { HiddenPrimary, settingOf } from '../world/hidden-primary.ts';
import { PublicNameServer, type Software } from '../world/public-name-server.ts';
import { requires } from '../world/requires.ts';
import { challenged, VENDOR_ZONE, vendorZone } from '../world/vendor-zone.ts';
import { until } from '../world/visits.ts';
import { serialOf } from '../world/zone-serial.ts';

const need = requires('knotd', 'nsd', 'named');
const SOFTWARE: readonly Software[] = ['knot', 'nsd', 'bind', 'knot-signer'];
const DEVICES = 100_000;

describe.skipIf(need.skip)('200,000 records', { timeout: 300_000 }, () => {
  it('reach each kind of secondary within seconds, and a change within moments', async () => {
    await using primary = await HiddenPrimary.start(vendorZone(DEVICES));
    globalThis.gc?.();
    const before = process.memoryUsage.rss();
    for (const software of SOFTWARE) {
      await using server = await PublicNameServer.start(software, primary.port);
      await primary.serve([settingOf(software, server.port)]);
      const servedMs = await until(
        async () => (await serialOf(server)) !== undefined,
        120_000,
        software,
      );
      const line = primary.transferred('axfr', software).at(-1) ?? '{}';
      const { ms, bytes } = JSON.parse(line);
      const changes = await changesTo(primary, server);
      const figures = [
        `${software}: ${bytes} bytes sent in ${ms} ms`,
        `served after ${Math.round(servedMs)} ms`,
        `changes after ${changes.join(', ')} ms`,
      ];
      process.stdout.write(`${figures.join('; ')}\n`);
      expect(ms).toBeLessThan(20_000);
      expect(Math.max(...changes)).toBeLessThan(10_000);
      expect(primary.transferred('ixfr', software).length).toBeGreaterThan(0);
    }
    // One message at a time: what grows is what any work leaves for the collector.
    expect(process.memoryUsage.rss() - before).toBeLessThan(96 * 1024 * 1024);
  });
});

async function changesTo(primary: HiddenPrimary, server: PublicNameServer): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const token = `token-${performance.now()}`;
    primary.source.apply([challenged('device-1', [token])]);
    const report = await servedEverywhere({
      servers: [server.named()],
      owner: `_acme-challenge.device-1.${VENDOR_ZONE}`,
      type: TYPE.TXT,
      value: parseRdata(TYPE.TXT, `"${token}"`) ?? Buffer.alloc(0),
      signal: AbortSignal.timeout(20_000),
    });
    expect(report.everywhere, server.words()).toBe(true);
    times.push(report.servers[0]?.afterMs ?? Number.NaN);
  }
  return times;
}
