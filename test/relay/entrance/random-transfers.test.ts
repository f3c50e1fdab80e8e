// Visits of all kinds that chance has planned, through an entrance, tunnels and real sockets at both
// ends. Each comes to its end in time and byte for byte, or is seen to be broken; afterwards nothing is
// held or open, and every window of every tunnel is back where it began.
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SocketLink } from '../../../relay/entrance/socket-link.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { splice } from '../../../relay/protocol/splice.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';
import type { MemoryWireOptions } from '../../world/memory-wire.ts';
import { SeededRandom } from '../../world/random.ts';
import { TransferVisitors } from '../../world/transfer-visitors.ts';
import { TransferWorkspace } from '../../world/transfer-workspace.ts';
import { until } from '../../world/visits.ts';
import { House } from './http2-house.ts';

const WITHIN_MS = 15_000;
const HOSTNAME = 'alice.vendor.test';

let workspace: TransferWorkspace;
let house: House;
const tunnels: MemoryTunnel[] = [];

beforeEach(async () => {
  workspace = await TransferWorkspace.open();
  house = await new House().open(() => {
    for (const { relay } of tunnels) {
      const stream = relay.open(HEADER);
      if (stream !== undefined) return stream;
    }
    return { kind: 'device-away', sinceMs: 0 };
  });
});
afterEach(async () => {
  house.close();
  for (const tunnel of tunnels.splice(0)) tunnel.stop();
  await workspace[Symbol.asyncDispose]();
});

function addTunnel(options: MemoryWireOptions): MemoryTunnel {
  const tunnel = new MemoryTunnel(options);
  tunnel.accept = (stream) => {
    splice(stream, new SocketLink({ kind: 'tcp', host: '127.0.0.1', port: workspace.port }));
  };
  tunnels.unshift(tunnel);
  return tunnel;
}

function visitorsOf(seed: number, mayBreak: boolean): TransferVisitors {
  const tls = { host: '127.0.0.1', port: house.port, servername: HOSTNAME };
  return new TransferVisitors({
    door: {
      host: HOSTNAME,
      connect: (ALPNProtocols) =>
        connectTls({ ...tls, ALPNProtocols: [...ALPNProtocols], rejectUnauthorized: false }),
    },
    workspace,
    seed,
    mayBreak,
  });
}

async function expectNothingLeft(): Promise<void> {
  await until(() => house.entrance?.visitCount === 0, WITHIN_MS, 'the end of all visits');
  expect(house.journal.requestsOpen).toBe(0);
  const streams = () => tunnels.flatMap(({ relay, device }) => [relay, device]);
  const idle = () => streams().every(({ ended, streamCount }) => ended || streamCount === 0);
  await until(idle, WITHIN_MS, 'the end of all streams');
  await until(() => workspace.sockets.size === 0, WITHIN_MS, 'the end of all connections');
  for (const { heldBytes, growthBytesLeft } of streams()) {
    expect([heldBytes, growthBytesLeft]).toEqual([0, LIMITS.windowGrowthBytesMax]);
  }
  for (const { faults, relayEnd, deviceEnd } of tunnels) {
    expect([faults, relayEnd?.code === 1002, deviceEnd?.code === 1002]).toEqual([[], false, false]);
  }
}

const WAYS: readonly (readonly [string, number, MemoryWireOptions])[] = [
  ['a near tunnel', 1, {}],
  ['a tunnel of three milliseconds each way', 2, { turnMs: 3 }],
  ['a tunnel that takes one message at a time', 3, { capacity: 1, lag: 0.5 }],
];

it.each(WAYS)(
  'visits of all kinds through %s end as they should',
  async (_name, seed, options) => {
    addTunnel({ ...options, seed });
    const visitors = visitorsOf(seed, false);
    await visitors.run((transfers) => transfers >= TRANSFERS);
    expect(visitors.ends.whole).toBeGreaterThan(TRANSFERS / 5);
    await expectNothingLeft();
  },
  120_000,
);

it('visits of all kinds end as they should while tunnels drain and break below them', async () => {
  const random = new SeededRandom(4);
  addTunnel({ seed: 4 });
  const visitors = visitorsOf(4, true);
  let turns = 0;
  const running = visitors.run((transfers) => {
    if (transfers > turns * 5) {
      turns += 1;
      const [old] = tunnels;
      addTunnel({ seed: turns });
      if (random.chance(0.3)) old?.relayWire.cut();
      else if (random.chance(0.5)) old?.relay.drain(20_000);
      else old?.device.drain(20_000);
      if (old?.relayWire.closedBy === 'cut') old.relay.lost(1006, '');
    }
    return transfers >= TRANSFERS;
  });
  await running;
  expect(visitors.ends.whole).toBeGreaterThan(TRANSFERS / 5);
  await expectNothingLeft();
}, 120_000);

const TRANSFERS = 40;
