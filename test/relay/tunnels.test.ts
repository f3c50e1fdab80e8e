// Which tunnels are closed when a key is revoked: on a real registry, with sessions in memory.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateKey } from '../../relay/protocol/key.ts';
import { CLOSE } from '../../relay/protocol/wire.ts';
import { rotateKey } from '../../relay/registry/deeds/rotate-key.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { Tunnels } from '../../relay/tunnels.ts';
import { MemoryTunnel } from '../world/memory-tunnel.ts';
import { deviceName } from './registry/fixture.ts';

const log = pino({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'waygate-tunnels-'));
let registry: Registry;
let tunnels: Tunnels;
/** Whose admission was looked at, in the order of looks. */
let lookedAt: string[] = [];
/** Held back: an epoch that is being drawn. */
let drawing: Promise<void> = Promise.resolve();

beforeAll(async () => {
  const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
  registry = await openRegistry({ database, log });
  tunnels = new Tunnels({
    log,
    nextEpoch: async (thumbprint) => {
      const epoch = await registry.nextEpoch(thumbprint);
      await drawing;
      return epoch;
    },
    admissible: (thumbprint) => {
      lookedAt.push(thumbprint);
      return registry.snapshot.admissible(thumbprint) !== undefined;
    },
    changed: () => undefined,
  });
  registry.onChange((_snapshot, _before, _names, keys) => tunnels.expel(keys));
});
afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true });
});

/** A device with this name that is connected. */
async function connected(name: string, instance = 'one') {
  const key = generateKey('device').publicKey;
  await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
  return { key, ...(await arrive(key.thumbprint, instance)) };
}

async function arrive(thumbprint: string, instance: string) {
  const memory = new MemoryTunnel();
  const epoch = (await tunnels.claim(thumbprint, instance)) ?? 0;
  const outcome = tunnels.add({
    ...{ thumbprint, instance, epoch, slot: 0, protocol: 3, session: memory.relay },
  });
  return { memory, outcome };
}

test('a key that is revoked loses its tunnels at once, and nobody else is looked at', async () => {
  const [alice, bob] = [await connected('alice'), await connected('bob')];
  expect(alice.outcome).toBe('added');
  lookedAt = [];
  await registry.revoke({ thumbprint: alice.key.thumbprint, actor: 'test' });
  expect(alice.memory.relayEnd).toMatchObject({ code: CLOSE.revoked });
  expect(tunnels.isConnected(alice.key.thumbprint)).toBe(false);
  expect(bob.memory.relayEnd).toBeUndefined();
  expect(lookedAt).toEqual([alice.key.thumbprint]);
});

test('so does one without any name, and one that a new key has taken the place of', async () => {
  const [carol, dave] = [await connected('carol'), await connected('dave')];
  await registry.release({ name: deviceName('carol'), by: { kind: 'operator', user: 'test' } });
  expect(tunnels.isConnected(carol.key.thumbprint)).toBe(true);
  await registry.revoke({ thumbprint: carol.key.thumbprint, actor: 'test' });
  expect(carol.memory.relayEnd).toMatchObject({ code: CLOSE.revoked });
  const newKey = generateKey('device').publicKey;
  await registry.perform(rotateKey({ thumbprint: dave.key.thumbprint, newKey }));
  expect(dave.memory.relayEnd).toMatchObject({ code: CLOSE.revoked });
});

test('one that is revoked while its epoch is drawn does not get in', async () => {
  const { key } = await connected('erin');
  const held = Promise.withResolvers<void>();
  drawing = held.promise;
  const late = arrive(key.thumbprint, 'two');
  await registry.revoke({ thumbprint: key.thumbprint, actor: 'test' });
  held.resolve();
  expect((await late).outcome).toBe('revoked');
  expect(tunnels.isConnected(key.thumbprint)).toBe(false);
});

test('one that another relay revokes loses its tunnels here, whether the change is followed or all is read anew', async () => {
  const [frank, grace] = [await connected('frank'), await connected('grace')];
  const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
  const other = await openRegistry({ database, log });
  const heard: (ReadonlySet<string> | undefined)[] = [];
  const end = registry.onChange((_snapshot, _before, _names, keys) => heard.push(keys));
  await other.revoke({ thumbprint: frank.key.thumbprint, actor: 'test' });
  await registry.poll();
  expect(frank.memory.relayEnd).toMatchObject({ code: CLOSE.revoked });
  // More deeds than are followed one by one.
  await other.revoke({ thumbprint: grace.key.thumbprint, actor: 'test' });
  await other.write(async (db) => {
    const row = { at: 0, actor: 'test', what: 'enrolled', thumbprint: 'nobody' } as const;
    const rows = Array.from({ length: 1_000 }, () => ({ ...row, name: null, detail: null }));
    for (let part = 0; part < 21; part += 1) await db.insertInto('history').values(rows).execute();
  });
  await other.close();
  await registry.poll();
  expect(grace.memory.relayEnd).toMatchObject({ code: CLOSE.revoked });
  end();
  expect(heard.map((keys) => keys === undefined)).toContain(true);
});
