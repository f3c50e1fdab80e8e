// A relay that is killed: the zone does not tell of it any more within half a minute, and again as soon
// as it is back. Real processes and real beats, so it takes its time.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { Installation, ZONE } from '../world/installation.ts';
import { TestNameServer } from '../world/name-server.ts';
import { requires } from '../world/requires.ts';
import { until } from '../world/visits.ts';

const need = requires('dig');

describe.skipIf(need.skip)('a relay that dies', { timeout: 180_000 }, () => {
  it('is told no more within 30 s, is told again when it is back, and is kept as the last', async () => {
    await using vendor = await Installation.make({ drainSeconds: 0, more: 'id: one\n' });
    await using server = await TestNameServer.make(vendor);
    const config = join(vendor.folder, 'relay2.yaml');
    writeFileSync(
      config,
      `zone: ${ZONE}\nlisten: { host: 127.0.0.2, port: ${vendor.port} }\nid: two\n` +
        `state: "${join(vendor.folder, 'relay')}"\nops: { host: 127.0.0.1, port: 0 }\n`,
    );
    const one = await vendor.relay();
    await server.start();
    const two = vendor.run('relay', config);
    await two.ready();
    const edge = async () => (await server.short(`edge.${ZONE}`, 'A')).join(' ');
    const becomes = (text: string, withinMs: number) =>
      until(async () => (await edge()) === text, withinMs, text);
    await becomes('127.0.0.1 127.0.0.2', 2_000);
    await two.end('SIGKILL');
    await becomes('127.0.0.1', 30_000);
    await vendor.run('relay', config).ready();
    await becomes('127.0.0.1 127.0.0.2', 2_000);
    // The name server is the only watcher left, and sees nobody.
    for (const relay of [one]) await relay.end('SIGKILL');
    await becomes('127.0.0.2', 30_000);
  });
});
