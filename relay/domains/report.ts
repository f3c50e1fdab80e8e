// What a person is told of an own domain, wherever he looks: at a terminal, on the portal, by the API.
// What he has to enter at his DNS provider, how far it is, and what was found instead of what.
import type { DomainState } from '../registry/schema.ts';

/** One thing that has to be so before the domain serves, in the order in which it comes about. */
export interface DomainStep {
  readonly step: 'proof' | 'routing' | 'caa' | 'certificate' | 'live';
  /** waiting: not there yet, and may come by itself · wrong: somebody has to change something. */
  readonly state: 'ok' | 'waiting' | 'wrong';
  /** What the world says, as a text for people: printable and bounded. */
  readonly found: string;
  readonly expected: string;
  /** What to do, as a sentence; absent: nothing. */
  readonly next?: string;
  /** wrong, and yet the domain is served and gets its certificates: some visitors go elsewhere. */
  readonly served?: true;
}

/** One record for the DNS of the domain. */
export interface DomainEntry {
  readonly type: 'CNAME' | 'A' | 'AAAA' | 'TXT';
  /** The whole name: `_waygate.app.example.org`. */
  readonly owner: string;
  readonly value: string;
  /** What it is for, as the end of a sentence. */
  readonly why: string;
  /** one-of: the CNAME, or the addresses · wildcard: besides, as the domain is a wildcard. */
  readonly needed: 'yes' | 'one-of' | 'wildcard';
}

export interface DomainReport {
  readonly domain: string;
  /** The name of the device that it leads to. */
  readonly name: string;
  /** Absent: the whole device. */
  readonly workspace?: string;
  readonly wildcard: boolean;
  readonly state: DomainState;
  readonly entries: readonly DomainEntry[];
  readonly steps: readonly DomainStep[];
  /** When it was looked at last; absent: not yet. */
  readonly checkedAtMs?: number;
  /** Somebody had just looked when this was asked for: so long ago; and it is looked at again so soon. */
  readonly recent?: { readonly secondsAgo: number; readonly againInSeconds: number };
}

/** What the owner of a name is told without having asked (relay/portal/letters.ts). */
export interface DomainChange {
  /** lost: another account has proven the domain. */
  readonly kind: 'failing' | 'suspended' | 'back' | 'lost';
  readonly domain: string;
  /** The name whose owner is told. */
  readonly name: string;
  /** What was found: the steps that are not as they should be. */
  readonly steps: readonly DomainStep[];
  /** failing: when the domain is suspended if nothing changes. */
  readonly untilMs?: number;
}
