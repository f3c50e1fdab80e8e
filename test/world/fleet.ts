// Many devices in one process, each with a key and two tunnels of its own, as device-client holds them:
// they dial, wait and dial again. Arguments: how many, the file of the registry in which they are to be
// enrolled. Over IPC: tells `enrolled`; is told where the relay is; tells `up` when every device has a
// tunnel, and after a loss of all tunnels `back` with the time that each took.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { pino } from 'pino';
import { Tunnels } from '../../device-client/tunnels.ts';
import { parseDeviceName } from '../../dns/name.ts';
import { makeInstance } from '../../relay/protocol/hello.ts';
import { generateKey, parsePublicKey, type SigningKey } from '../../relay/protocol/key.ts';
import { YoungBuffers } from '../../relay/protocol/young-buffers.ts';
import { openRegistry } from '../../relay/registry/registry.ts';

export interface RelayTold {
  readonly url: string;
  readonly vendorKey: string;
  readonly caPem: string;
  readonly address: string;
}

export type FleetMessage =
  | { readonly event: 'enrolled' }
  | { readonly event: 'up'; readonly tookMs: number }
  | { readonly event: 'back'; readonly devicesMs: readonly number[]; readonly tunnelsMs: number };

const [count = '', registryFile = ''] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

const log = pino({ level: 'fatal' });
const keys: SigningKey[] = Array.from({ length: Number(count) }, () => generateKey('device'));
await enrolAll();
tell({ event: 'enrolled' });
const [told] = await once(process, 'message');
run(told);

async function enrolAll(): Promise<void> {
  const registry = await openRegistry({ database: { kind: 'sqlite', file: registryFile }, log });
  for (const [index, { publicKey }] of keys.entries()) {
    const name = parseDeviceName(`fleet${index}`);
    assert(name !== undefined);
    await registry.enroll({ name, deviceKey: publicKey, actor: 'test' });
  }
  await registry.close();
}

function run(relay: RelayTold): void {
  const startedAtMs = performance.now();
  const up = new Set<number>();
  let lostAtMs: number | undefined;
  let devicesMs: number[] = [];
  const vendorKey = parsePublicKey(relay.vendorKey, 'vendor');
  assert(vendorKey !== undefined);
  const youngBuffers = new YoungBuffers();
  const { caPem: ca, address } = relay;
  const all = keys.map((deviceKey, index) => {
    const changed = (connected: boolean): void => {
      if (!connected) up.delete(index);
      else if (!up.has(index)) {
        up.add(index);
        if (lostAtMs !== undefined) devicesMs.push(performance.now() - lostAtMs);
      }
      if (up.size === 0) {
        lostAtMs ??= performance.now();
        devicesMs = [];
      }
    };
    return new Tunnels({
      relay: { url: new URL(relay.url), vendorKey, ca, address },
      deviceKey: () => deviceKey,
      instance: makeInstance(),
      software: 'waygate/fleet',
      log,
      youngBuffers,
      accept: (stream) => stream.reset('workspace-unknown'),
      changed,
      told: () => undefined,
      disowned: async () => false,
    });
  });
  for (const tunnels of all) void tunnels.start();
  const open = () => all.reduce((sum, { sessions }) => sum + sessions.size, 0);
  let told = false;
  setInterval(() => {
    if (open() < 2 * all.length) {
      told = told && up.size > 0;
      return;
    }
    if (told) return;
    told = true;
    const nowMs = performance.now();
    if (lostAtMs === undefined) tell({ event: 'up', tookMs: nowMs - startedAtMs });
    else tell({ event: 'back', devicesMs, tunnelsMs: nowMs - lostAtMs });
    lostAtMs = undefined;
  }, 20);
}

function tell(message: FleetMessage): void {
  process.send?.(message);
}
