// Thousands of devices in one process: enrols a key for each, waits for the word, then holds a tunnel
// for each. Arguments: how many, and the file of the registry. Tells `enrolled` over IPC, is told the
// relay, and tells `connected`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { dialTunnel, type RelayAddress } from '../../device-client/tunnel.ts';
import { parseDeviceName } from '../../dns/name.ts';
import { makeInstance } from '../../relay/protocol/hello.ts';
import { generateKey, parsePublicKey, type SigningKey } from '../../relay/protocol/key.ts';
import { YoungBuffers } from '../../relay/protocol/young-buffers.ts';
import { openRegistry } from '../../relay/registry/registry.ts';
import { ZONE } from './waygate.ts';

/** Hellos under way at once: below what a listen queue takes, and a real crowd is jittered too. */
const AT_ONCE = 32;

/** One process, one count. */
const YOUNG_BUFFERS = new YoungBuffers();

const [count = '', registryFile = ''] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

const keys: SigningKey[] = Array.from({ length: Number(count) }, () => generateKey('device'));
await enrolAll();
process.send?.({ event: 'enrolled' });
const [told] = await once(process, 'message');
process.send?.({ event: 'connected', tunnels: await dialAll(told) });

async function enrolAll(): Promise<void> {
  const registry = await openRegistry({
    database: { kind: 'sqlite', file: registryFile },
    log: pino({ level: 'warn' }),
  });
  for (const [index, { publicKey }] of keys.entries()) {
    const name = parseDeviceName(`crowd${index}`);
    assert(name !== undefined);
    await registry.enroll({ name, deviceKey: publicKey, actor: 'bench' });
  }
  await registry.close();
}

interface RelayTold {
  readonly port: number;
  /** File of its certificate authority. */
  readonly ca: string;
  readonly vendorKey: string;
}

/** How many tunnels are open; rejects when the relay refuses one. */
async function dialAll(told: RelayTold): Promise<number> {
  const vendorKey = parsePublicKey(told.vendorKey, 'vendor');
  assert(vendorKey !== undefined);
  const relay: RelayAddress = {
    url: new URL(`wss://tunnel.${ZONE}:${told.port}/`),
    vendorKey,
    ca: readFileSync(told.ca, 'utf8'),
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
    instance: makeInstance(),
    slot: 0,
    software: 'waygate/bench',
    youngBuffers: YOUNG_BUFFERS,
    accept: (stream) => stream.reset('workspace-unknown'),
    drained: () => undefined,
    news: () => undefined,
    faulted: () => undefined,
    ended: (end) => {
      throw new Error(`A tunnel ended: ${JSON.stringify(end)}`);
    },
  });
}
