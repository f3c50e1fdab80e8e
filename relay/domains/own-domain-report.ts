// From the row of an own domain to what a person is told of it. What was found is kept with the row, so
// that any relay can tell what another has seen.
import type { Hostname } from '../../dns/name.ts';
import type { DomainRow } from '../registry/deeds/own-domain.ts';
import type { RelayAddresses } from '../registry/own-domains.ts';
import type { NarrowedIssuer } from './caa.ts';
import { entriesOf } from './records.ts';
import type { DomainReport, DomainStep } from './report.ts';

export function reportOf(
  row: DomainRow,
  { zone, relays }: { readonly zone: Hostname; readonly relays: RelayAddresses },
): DomainReport {
  const { domain, name, workspace, wildcard, state, checked_at: checkedAtMs } = row;
  return {
    domain,
    name,
    ...(workspace === null ? {} : { workspace }),
    wildcard: wildcard === 1,
    state,
    entries: entriesOf(row, zone, relays.present),
    steps: parseSteps(row.finding),
    ...(checkedAtMs === null ? {} : { checkedAtMs }),
  };
}

/** With what a relay needs to know that orders a certificate, which is no step, and read by it alone. */
export function formatSteps(
  steps: readonly DomainStep[],
  narrowed: readonly NarrowedIssuer[] = [],
): string {
  return JSON.stringify(narrowed.length === 0 ? steps : [...steps, { narrowed }]);
}

/** What CAA records have left to authorities, at the last look. */
export function parseNarrowed(finding: string | null): readonly NarrowedIssuer[] {
  return storedIn(finding).flatMap((each) => {
    if (typeof each !== 'object' || each === null || !('narrowed' in each)) return [];
    const { narrowed } = each;
    return Array.isArray(narrowed) ? narrowed.filter(isNarrowed) : [];
  });
}

function isNarrowed(value: unknown): value is NarrowedIssuer {
  if (typeof value !== 'object' || value === null) return false;
  const { issuer, methods } = { issuer: undefined, methods: undefined, ...value };
  const texts: readonly unknown[] = Array.isArray(methods) ? methods : [undefined];
  return typeof issuer === 'string' && texts.every((text) => typeof text === 'string');
}

/** In their order; those that are not known say that nobody has looked. */
export function parseSteps(finding: string | null): DomainStep[] {
  const known = storedIn(finding).filter(isStep);
  return STEPS.map((step) => known.find((each) => each.step === step) ?? notLooked(step));
}

function storedIn(finding: string | null): readonly unknown[] {
  const stored: unknown = finding === null ? [] : JSON.parse(finding);
  return Array.isArray(stored) ? stored : [];
}

const STEPS = ['proof', 'routing', 'caa', 'certificate', 'live'] as const;
const STATES: ReadonlySet<unknown> = new Set(['ok', 'waiting', 'wrong']);

function isStep(value: unknown): value is DomainStep {
  if (typeof value !== 'object' || value === null) return false;
  const { step, state, found, expected, next } = { ...NO_STEP, ...value };
  const texts = [found, expected, next ?? ''].every((text) => typeof text === 'string');
  return texts && STATES.has(state) && STEPS.some((each) => each === step);
}

const NO_STEP: Readonly<Record<'step' | 'state' | 'found' | 'expected' | 'next', unknown>> = {
  step: undefined,
  state: undefined,
  found: undefined,
  expected: undefined,
  next: undefined,
};

function notLooked(step: DomainStep['step']): DomainStep {
  return { step, state: 'waiting', found: 'Nobody has looked yet.', expected: EXPECTED[step] };
}

const EXPECTED: Readonly<Record<DomainStep['step'], string>> = {
  proof: 'The TXT record that proves the domain.',
  routing: 'The domain leads to us.',
  caa: 'No CAA record, or one that lets us have a certificate.',
  certificate: 'A certificate, which is ordered by itself.',
  live: 'The domain answers by HTTPS.',
};
