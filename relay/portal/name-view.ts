// What an owner sees of a name, for the API and the pages: the row of the name with what waits for it.
import type { DeviceName } from '../../dns/name.ts';
import { isoTime } from '../protocol/iso-time.ts';
import { type ListedOffer, listOffers } from '../registry/account.ts';
import {
  type ListedName,
  type ListedRecovery,
  listNames,
  listRecoveries,
  PAGE_LIMITS,
} from '../registry/listings.ts';
import { dueMs } from '../registry/recovery-due.ts';
import type { Registry } from '../registry/registry.ts';
import { problem } from './problem.ts';

export interface OwnName extends ListedName {
  /** While it waits for the mail server, `dueAtMs` is the earliest moment. */
  readonly recovery: ListedRecovery | undefined;
  readonly offer: ListedOffer | undefined;
}

export interface NameQuery {
  readonly ownerId: string;
  readonly nowMs: number;
  /** One of them. */
  readonly name?: DeviceName;
}

/** By name; with a name at most one. An owner has no more of them than fit on a page. */
export function ownNames(registry: Registry, query: NameQuery): Promise<readonly OwnName[]> {
  const { ownerId, nowMs, name } = query;
  return registry.read(async (db) => {
    const wanted = { ownerId, limit: PAGE_LIMITS.rowsMax, ...(name === undefined ? {} : { name }) };
    const names = await listNames(wanted)(db);
    const waiting = await listRecoveries({ ownerId })(db);
    const recoveries = waiting.map((each) => ({ ...each, dueAtMs: dueMs(each, nowMs) }));
    const offers = await listOffers(ownerId, nowMs)(db);
    return names
      .filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs)
      .map((each) => ({
        ...each,
        recovery: recoveries.find((recovery) => recovery.name === each.name),
        offer: offers.find((offer) => offer.name === each.name),
      }));
  });
}

/** Throws the same problem for a name of somebody else and for one that nobody has. */
export async function ownName(
  registry: Registry,
  query: NameQuery & { readonly name: DeviceName },
): Promise<OwnName> {
  const [found] = await ownNames(registry, query);
  if (found !== undefined) return found;
  throw problem(
    'not-yours',
    404,
    `You have no name ${query.name}.`,
    'See the list of your names for the right one.',
  );
}

/** As the API says it. */
export function nameJson(own: OwnName, urlOf: (name: string) => string) {
  const { recovery, offer } = own;
  return {
    name: own.name,
    url: urlOf(own.name),
    state: own.state,
    device: own.thumbprint ?? null,
    software: own.software ?? null,
    lastSeenAt: timeOrNull(own.lastSeenAtMs),
    claimedAt: isoTime(own.claimedAtMs),
    successor: own.successor ?? null,
    until: timeOrNull(own.untilMs),
    recovery:
      recovery === undefined
        ? null
        : {
            id: recovery.id,
            newDevice: recovery.newThumbprint,
            begunAt: isoTime(recovery.begunAtMs),
            dueAt: isoTime(recovery.dueAtMs),
            waitsForMail: recovery.waitsForMail,
          },
    transfer:
      offer === undefined
        ? null
        : { toEmail: offer.toEmail, expiresAt: isoTime(offer.expiresAtMs) },
  };
}

function timeOrNull(atMs: number | undefined): string | null {
  return atMs === undefined ? null : isoTime(atMs);
}
