// Visits of all kinds that chance has planned, through a real relay and a real device, on one seed after
// another. Each ends in time and byte for byte, or is seen to be broken; afterwards nothing is open.
// WAYGATE_TRANSFER_MINUTES says for how long, WAYGATE_TRANSFER_SEED where to begin.
import { connect } from 'node:tls';
import { expect, it } from 'vitest';
import { TransferVisitors } from '../world/transfer-visitors.ts';
import { TransferWorkspace } from '../world/transfer-workspace.ts';
import { startVendor } from '../world/vendor.ts';
import { until } from '../world/visits.ts';

const MINUTES = Number(process.env['WAYGATE_TRANSFER_MINUTES'] ?? 10);
const SEED = Number(
  process.env['WAYGATE_TRANSFER_SEED'] ?? Math.floor(Math.random() * 0x1_0000_0000),
);
const TRANSFERS_PER_SEED = 300;
const WITHIN_MS = 30_000;

it(
  `visits of all kinds end as they should for ${MINUTES} minutes, from seed ${SEED}`,
  async () => {
    await using workspace = await TransferWorkspace.open();
    await using vendor = await startVendor({ code: `http://127.0.0.1:${workspace.port}` });
    const tls = { host: vendor.address, port: vendor.port, ca: vendor.caPem };
    const door = {
      host: vendor.host('code'),
      connect: (ALPNProtocols: readonly string[]) =>
        connect({ ...tls, servername: vendor.hostname('code'), ALPNProtocols: [...ALPNProtocols] }),
    };
    const endMs = performance.now() + MINUTES * 60_000;
    const sum = { seeds: 0, whole: 0, broken: 0, left: 0, bytes: 0 };
    for (let seed = SEED; performance.now() < endMs; seed++) {
      const visitors = new TransferVisitors({ door, workspace, seed });
      await visitors.run((transfers) => transfers >= TRANSFERS_PER_SEED);
      const { whole, broken, left } = visitors.ends;
      sum.seeds += 1;
      sum.whole += whole;
      sum.broken += broken;
      sum.left += left;
      sum.bytes += visitors.bytes;
      for (const [program, name] of OPEN_AFTERWARDS) {
        const none = async () => (await vendor.metric(program, name)) === 0;
        await until(none, WITHIN_MS, `${name} of 0 after seed ${seed}`);
      }
      await until(
        () => workspace.sockets.size === 0,
        WITHIN_MS,
        `no connection after seed ${seed}`,
      );
    }
    process.stderr.write(`${JSON.stringify(sum)}\n`);
    for (const name of ['relay', 'device'] as const) {
      expect(vendor.logOf(name).filter(({ level }) => level >= 50)).toEqual([]);
    }
  },
  (MINUTES + 5) * 60_000,
);

const OPEN_AFTERWARDS = [
  ['relay', 'waygate_streams'],
  ['relay', 'waygate_entrance_open_requests'],
  ['device', 'waygate_device_streams'],
] as const;
