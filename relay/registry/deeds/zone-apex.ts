// What a name server says of the zone when it starts (dns.yaml). The first one publishes everything.
import type { ApexSettings } from '../../../dns/apex.ts';
import type { Deed } from '../deed.ts';
import { RegistryError } from '../registry-error.ts';
import { vendorLabels } from '../zone-labels.ts';
import {
  publish,
  publishAll,
  readZone,
  renewSerial,
  settingsText,
  ZONE_ROW,
} from '../zone-publication.ts';

/**
 * Takes over the settings, and publishes what is different by them. The serial is a new one in any
 * case: should the registry have been restored from a backup while no name server ran, then secondaries
 * know a later serial than the stored one, and would wait for us to pass it.
 */
export function configureApex(settings: ApexSettings): Deed<void> {
  return async (scope) => {
    const { db } = scope;
    const before = await readZone(db);
    const text = settingsText(settings);
    if (before?.text === text) return renewSerial(scope);
    if (before !== undefined && before.settings.zone !== settings.zone) {
      throw differs(before.settings.zone, settings.zone);
    }
    await db
      .insertInto('zone')
      .values({ id: ZONE_ROW, serial: 0, apex: text })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ apex: text }))
      .execute();
    if (before === undefined || !onlyVendorChanged(before, settings)) return publishAll(scope);
    const labels = new Set([...vendorLabels(before.settings), ...vendorLabels(settings)]);
    if (!(await publish(scope, labels))) await renewSerial(scope);
  };
}

/** Only the labels of the vendor himself depend on the rest. */
function onlyVendorChanged(
  before: { readonly text: string; readonly settings: ApexSettings },
  after: ApexSettings,
): boolean {
  return settingsText({ ...after, ...vendorPart(before.settings) }) === before.text;
}

function vendorPart({ nameServers, secondaries, hostmaster, caa, services }: ApexSettings) {
  return { nameServers, secondaries, hostmaster, caa, services };
}

/** After a registry that goes back in time: the next serial, above one that was already told. */
export function renewZoneSerial(above: number): Deed<void> {
  return (scope) => renewSerial(scope, above);
}

/** What was published of another zone is gone; for a vendor who is tried out, under one name or another. */
export function forgetOtherZone(zone: string): Deed<void> {
  return async ({ db }) => {
    const before = await readZone(db);
    if (before === undefined || before.settings.zone === zone) return;
    for (const table of ['zone', 'zone_labels', 'zone_journal'] as const) {
      await db.deleteFrom(table).execute();
    }
  };
}

function differs(stored: string, wanted: string): RegistryError {
  return new RegistryError(
    'ERR_ZONE_DIFFERS',
    `This registry publishes the zone ${stored}, and dns.yaml says ${wanted}. Correct the zone in ` +
      'dns.yaml, or give it the registry of that zone.',
  );
}
