// What is wanted follows the names, also those that change while they are gone through.
import { beforeEach, expect, test, vi } from 'vitest';
import { NameWork } from '../../../relay/certificates/name-work.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { IssuingStand, ZONE } from './issuing-stand.ts';

const OPERATOR = { kind: 'operator', user: 'test' } as const;
const alice = deviceName('alice');
const bob = deviceName('bob');
let stand: IssuingStand;
let registry: Registry;

beforeEach(async () => {
  stand = await IssuingStand.start();
  registry = stand.registry;
});

const enroll = (name: typeof alice) =>
  registry.enroll({ name, deviceKey: deviceKey(), actor: 'test' });

const wanted = async () => (await stand.work()).map(({ subject }) => subject);

/** `written` is called after each write, before whoever wrote hears of it. */
function nameWork(
  written: (writes: number) => Promise<unknown>,
  onChange: Registry['onChange'] = (listener) => registry.onChange(listener),
): NameWork {
  let writes = 0;
  const write: Registry['write'] = async (work) => {
    const value = await registry.write(work);
    writes += 1;
    await written(writes);
    return value;
  };
  const changed = () => undefined;
  const { log } = stand;
  return new NameWork({ registry: { write, onChange }, zone: ZONE, log, now: Date.now, changed });
}

test('a name that changes while it is gone through is gone through again', async () => {
  let busy = false;
  const work = nameWork(async () => {
    if (!busy || !(await wanted()).includes(`alice.${ZONE}`)) return;
    busy = false;
    await registry.release({ name: alice, by: OPERATOR });
  });
  await work.start();
  busy = true;
  await enroll(alice);
  await vi.waitFor(async () => expect([busy, await wanted()]).toEqual([false, [ZONE]]));
  await work.stop();
});

test('what changes while all names are gone through is not forgotten', async () => {
  let tellAll: () => void = () => undefined;
  const work = nameWork(
    async (writes) => {
      // The zone, then all names in one part.
      if (writes !== 2) return;
      await enroll(bob);
      tellAll();
    },
    (listener) => {
      // So many have changed that nobody says which.
      tellAll = () => listener(registry.snapshot, registry.snapshot, undefined, undefined);
      return () => undefined;
    },
  );
  await work.start();
  await vi.waitFor(async () => expect(await wanted()).toEqual([`bob.${ZONE}`, ZONE]));
  await work.stop();
});
