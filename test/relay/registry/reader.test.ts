import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DeviceName } from '../../../dns/name.ts';
import { proveDomain, suspendDomain } from '../../../relay/registry/deeds/domain-proof.ts';
import {
  addDomain,
  parseOwnDomain,
  removeDomain,
} from '../../../relay/registry/deeds/own-domain.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { listDomains } from '../../../relay/registry/own-domains.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { RegistryError } from '../../../relay/registry/registry-error.ts';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName } from './fixture.ts';
import { hostname } from './zone-fixture.ts';

const NAMES = ['alice', 'bob', 'carol'].map(deviceName);
const KINDS = [
  ...(['enroll', 'enroll', 'replace', 'release', 'revoke', 'rename'] as const),
  ...(['domain', 'domain', 'domain', 'domain'] as const),
];
const actor = 'test';
const by = { kind: 'operator', user: 'test' } as const;

/** Everything that a snapshot tells, in a form that can be compared. */
function contentOf({ snapshot }: Registry, thumbprints: readonly string[]) {
  return {
    size: snapshot.size,
    historyId: snapshot.historyId,
    names: [...snapshot.names()].sort(),
    successors: NAMES.map((name) => snapshot.successorOf(name)),
    domainRows: snapshot.domainRows,
    domains: ['y.app.example.org', ...DOMAINS].map((domain) => snapshot.ownDomain(domain)),
    domainsOf: NAMES.map((name) => snapshot.domainsOf(name).toSorted()),
    owners: NAMES.map((name) => snapshot.deviceOf(name)),
    devices: thumbprints.map((thumbprint) => ({
      admissible: snapshot.admissible(thumbprint),
      names: snapshot.namesOf(thumbprint),
    })),
  };
}

/** Own domains, of which one lies below the other's wildcard. */
const DOMAINS = ['app.example.org', 'x.app.example.org'].map((text) => {
  const domain = parseOwnDomain(text, hostname('vendor.example'));
  if (domain === undefined) throw new Error(`${text} is no own domain`);
  return domain;
});

/** A deed on a domain that a name wants: first it is added, and afterwards something else each time. */
async function doWithDomain(registry: Registry, name: DeviceName, pick: number): Promise<unknown> {
  const domain = DOMAINS[pick % DOMAINS.length];
  if (domain === undefined) throw new Error('out of range');
  const query = { of: 'anybody', domain, name } as const;
  const [row] = await registry.read(listDomains(query));
  if (row === undefined) {
    const wanted = { name, domain: domain, wildcard: pick % 2 === 0 };
    return registry.perform(addDomain({ ...wanted, by }));
  }
  const { target, proof, state } = row;
  if (state === 'pending') {
    const seen = new Set([proof]);
    return registry.perform(proveDomain({ target, seen, lookedAtMs: Number.MAX_SAFE_INTEGER }));
  }
  if (pick < 2) return registry.perform(suspendDomain({ target, why: 'test' }));
  return registry.perform(removeDomain({ domain: domain, name, by }));
}

onBothEngines(requires('initdb', 'setpriv'), (makeWorld, engine) => {
  test('what was followed deed by deed is what is read whole', async () => {
    const deed = fc.record({
      kind: fc.constantFrom(...KINDS),
      name: fc.nat({ max: 2 }),
      key: fc.nat({ max: 3 }),
      to: fc.nat({ max: 2 }),
      looks: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 1, maxLength: 16 }), async (deeds) => {
        const { open } = await makeWorld();
        const [one, other] = [await open({ pollMs: 1e9 }), await open({ pollMs: 1e9 })];
        const keys = Array.from({ length: 4 }, deviceKey);
        const [alice, key0] = [deviceName('alice'), keys[0] ?? deviceKey()];
        await one.enroll({ name: alice, deviceKey: key0, actor });
        // Added, and proven.
        for (let step = 0; step < 2; step += 1) await doWithDomain(one, alice, 0);
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
                    : kind === 'domain'
                      ? doWithDomain(one, name, keyAt)
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
      { numRuns: engine === 'SQLite' ? 15 : 4 },
    );
  }, 60_000);
});
