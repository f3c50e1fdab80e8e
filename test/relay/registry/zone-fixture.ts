// What the tests of the published zone have in common: settings of a vendor, and the zone as records.
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { ApexSettings } from '../../../dns/apex.ts';
import { type Hostname, parseHostname } from '../../../dns/name.ts';
import { rdataText } from '../../../dns/rdata.ts';
import { typeName } from '../../../dns/record.ts';
import type { Zone } from '../../../dns/zone.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { openZoneFeed, type ZoneFeed } from '../../../relay/registry/zone-feed.ts';
import { publishAll } from '../../../relay/registry/zone-publication.ts';
import { deviceKey, deviceName } from './fixture.ts';

export function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`no hostname: ${text}`);
  return parsed;
}

const ZONE = hostname('vendor.example');

export function settings(change: Partial<ApexSettings> = {}): ApexSettings {
  return {
    zone: ZONE,
    nameServers: [
      { host: hostname('ns1.vendor.example'), addresses: ['192.0.2.53', '2001:db8::53'], port: 53 },
      { host: hostname('ns.elsewhere.example'), addresses: [], port: 53 },
    ],
    secondaries: [],
    hostmaster: 'host.master@vendor.example',
    caa: ['0 issue "ca.example;validationmethods=dns-01"'],
    services: ['tunnel', 'my'],
    ttl: { apex: 3_600, edge: 30, lan: 60, challenges: 1, negative: 30 },
    ...change,
  };
}

/** What `zone_labels` holds. */
export async function stored(registry: Registry): Promise<Map<string, string>> {
  const rows = await registry.read((db) => db.selectFrom('zone_labels').selectAll().execute());
  return sorted(rows.map(({ label, records }) => [label, records] as const));
}

export function serialOf(registry: Registry): Promise<number> {
  return registry.read(async (db) => {
    const row = await db.selectFrom('zone').select('serial').executeTakeFirst();
    return Number(row?.serial ?? 0);
  });
}

/** What `zone_labels` holds once everything was computed from the rows anew; nothing is kept of it. */
export async function computedAnew(registry: Registry): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const undo = new Error('only to see');
  const attempt = registry.perform(async ({ db, nowMs }) => {
    await publishAll({ db, nowMs });
    const rows = await db.selectFrom('zone_labels').selectAll().orderBy('label').execute();
    for (const { label, records } of rows) found.set(label, records);
    throw undo;
  });
  await attempt.catch((error: unknown) => {
    if (error !== undo) throw error;
  });
  return sorted(found);
}

/** `owner TTL TYPE RDATA`, sorted; with the serial left out. */
export function zoneLines(zone: Zone): string[] {
  return [...zone.records()]
    .filter(({ set }) => set !== zone.soa)
    .flatMap(({ owner, set }) =>
      set.data.map(
        (data) => `${owner} ${set.ttl} ${typeName(set.type)} ${rdataText(set.type, data)}`,
      ),
    )
    .sort();
}

function sorted(entries: Iterable<readonly [string, string]>): Map<string, string> {
  return new Map([...entries].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

export function serves(zone: Zone, name: string): boolean {
  return zone.top.get(name) !== undefined;
}

/** Resolves when the feed serves such a zone; the test's own timeout is the bound. */
export function until(feed: ZoneFeed, condition: (zone: Zone) => boolean): Promise<void> {
  return new Promise((settle) => {
    const look = () => {
      if (!condition(feed.zone)) return;
      end();
      settle();
    };
    const end = feed.onChange(look);
    look();
  });
}

export async function feedOf(registry: Registry): Promise<ZoneFeed> {
  const feed = await openZoneFeed(registry, pino({ level: 'silent' }));
  onTestFinished(() => feed.close());
  return feed;
}

/** A name for a new key, whose thumbprint it gives. */
export async function enroll(registry: Registry, name: string): Promise<string> {
  const key = deviceKey();
  await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
  return key.thumbprint;
}
