import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { RegistryError } from '../../../relay/registry/registry-error.ts';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName } from './fixture.ts';

const NAMES = ['alice', 'bob', 'carol'].map(deviceName);
const actor = 'test';
const by = { kind: 'operator', user: 'test' } as const;

/** Everything that a snapshot tells, in a form that can be compared. */
function contentOf({ snapshot }: Registry, thumbprints: readonly string[]) {
  return {
    size: snapshot.size,
    historyId: snapshot.historyId,
    names: [...snapshot.names()].sort(),
    successors: NAMES.map((name) => snapshot.successorOf(name)),
    owners: NAMES.map((name) => snapshot.deviceOf(name)),
    devices: thumbprints.map((thumbprint) => ({
      admissible: snapshot.admissible(thumbprint),
      names: snapshot.namesOf(thumbprint),
    })),
  };
}

onBothEngines(requires('initdb', 'setpriv'), (makeWorld, engine) => {
  test('what was followed deed by deed is what is read whole', async () => {
    const deed = fc.record({
      kind: fc.constantFrom('enroll', 'enroll', 'replace', 'release', 'revoke', 'rename'),
      name: fc.nat({ max: 2 }),
      key: fc.nat({ max: 3 }),
      to: fc.nat({ max: 2 }),
      looks: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 1, maxLength: 12 }), async (deeds) => {
        const { open } = await makeWorld();
        const [one, other] = [await open({ pollMs: 1e9 }), await open({ pollMs: 1e9 })];
        const keys = Array.from({ length: 4 }, deviceKey);
        for (const { kind, name: nameAt, key: keyAt, to: toAt, looks } of deeds) {
          const [name, key, to] = [NAMES[nameAt], keys[keyAt], NAMES[toAt]];
          if (name === undefined || key === undefined || to === undefined)
            throw new Error('out of range');
          const { thumbprint } = key;
          const replacing = one.snapshot.deviceOf(name)?.thumbprint ?? 'nobody';
          const work =
            kind === 'enroll'
              ? one.enroll({ name, deviceKey: key, actor })
              : kind === 'replace'
                ? one.enroll({ name, deviceKey: key, actor, replacing })
                : kind === 'release'
                  ? one.release({ name, by })
                  : kind === 'rename'
                    ? one.perform(rename({ name, to, by }))
                    : one.revoke({ thumbprint, actor });
          await work.catch((error: unknown) => {
            if (!(error instanceof RegistryError)) throw error;
          });
          if (looks) await other.poll();
        }
        await other.poll();
        const whole = await open({ pollMs: 1e9 });
        const thumbprints = keys.map(({ thumbprint }) => thumbprint);
        const expected = contentOf(whole, thumbprints);
        expect(contentOf(one, thumbprints)).toEqual(expected);
        expect(contentOf(other, thumbprints)).toEqual(expected);
        await Promise.all([one, other, whole].map((registry) => registry.close()));
      }),
      { numRuns: engine === 'SQLite' ? 25 : 6 },
    );
  }, 60_000);
});
