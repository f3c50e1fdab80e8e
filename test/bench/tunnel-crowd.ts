// Thousands of devices in one process: enrols a key for each, waits for the word, then holds a tunnel
// for each. Argument: the plan as JSON. Tells `enrolled` and `connected` over IPC.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { dialTunnel, type RelayAddress } from '../../device-client/tunnel.ts';
import { parseDeviceName } from '../../dns/name.ts';
import { generateKey, parsePublicKey, type SigningKey } from '../../relay/protocol/key.ts';
import { openRegistry } from '../../relay/registry.ts';
import { ZONE } from './waygate.ts';

/** Hellos under way at once: below what a listen queue takes, and a real crowd is jittered too. */
const AT_ONCE = 32;

const plan = JSON.parse(process.argv[2] ?? '{}');
process.on('disconnect', () => process.exit());

const keys: SigningKey[] = Array.from({ length: plan.count }, () => generateKey('device'));
await enrolAll();
process.send?.({ event: 'enrolled' });
await once(process, 'message');
process.send?.({ event: 'connected', tunnels: await dialAll() });

async function enrolAll(): Promise<void> {
  const registry = await openRegistry({ file: plan.registry, log: pino({ level: 'warn' }) });
  for (const [index, { publicKey }] of keys.entries()) {
    const name = parseDeviceName(`crowd${index}`);
    assert(name !== undefined);
    await registry.enroll({ name, deviceKey: publicKey, actor: 'bench' });
  }
  await registry.close();
}

/** How many tunnels are open; all but those that the relay refused. */
async function dialAll(): Promise<number> {
  const vendorKey = parsePublicKey(plan.vendorKey, 'vendor');
  assert(vendorKey !== undefined);
  const relay: RelayAddress = {
    url: new URL(`wss://tunnel.${ZONE}:${plan.port}/`),
    vendorKey,
    ca: readFileSync(plan.ca, 'utf8'),
    address: '127.0.0.1',
  };
  let open = 0;
  const queue = keys.values();
  const dialNext = async (): Promise<void> => {
    for (const deviceKey of queue) {
      await dial(relay, deviceKey);
      open += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, dialNext));
  return open;
}

async function dial(relay: RelayAddress, deviceKey: SigningKey): Promise<void> {
  await dialTunnel({
    relay,
    deviceKey,
    instance: deviceKey.publicKey.thumbprint.slice(0, 22),
    slot: 0,
    software: 'waygate/bench',
    accept: (stream) => stream.reset('workspace-unknown'),
    drained: () => undefined,
    faulted: () => undefined,
    ended: (end) => {
      throw new Error(`A tunnel ended: ${JSON.stringify(end)}`);
    },
  });
}
