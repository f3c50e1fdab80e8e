// Own domains as owners and devices type them and see them: for both APIs and the pages.

import { domainTextFault } from '../../dns/domain-text.ts';
import {
  type DeviceName,
  type Hostname,
  parseWorkspaceName,
  type WorkspaceName,
  workspaceNameFault,
} from '../../dns/name.ts';
import type { Domains } from '../domains/domains.ts';
import type { DomainReport } from '../domains/report.ts';
import { isoTime } from '../protocol/iso-time.ts';
import { isPublicSuffix } from '../registered-domain.ts';
import type { By } from '../registry/actor.ts';
import {
  DOMAIN_LIMITS,
  type OwnDomain,
  parseOwnDomain,
  unknownDomain,
} from '../registry/deeds/own-domain.ts';
import { deviceName } from './owner-deeds.ts';
import { problem } from './problem.ts';

/** As it is typed. */
export interface TypedDomain {
  readonly name: string;
  readonly domain: string;
  /** Empty or absent: the whole device. */
  readonly workspace?: string;
  readonly wildcard: boolean;
}

/** Adds what was typed, or says what is wrong with it. */
export function addTyped(
  domains: Domains,
  zone: Hostname,
  typed: TypedDomain & { readonly by: By },
): Promise<DomainReport> {
  const { by, wildcard } = typed;
  const workspace = workspaceOf(typed.workspace?.trim() ?? '');
  const name = deviceName(typed.name.trim());
  const domain = ownDomain(typed.domain.trim(), zone);
  // Only here: one that has become a public suffix since can be looked at and removed.
  if (isPublicSuffix(domain)) throw publicSuffix(domain);
  return domains.add({
    ...{ name, domain },
    ...(workspace === undefined ? {} : { workspace }),
    wildcard,
    by,
  });
}

/** The domain that was typed, or a problem that says what a domain may be. */
function ownDomain(text: string, zone: Hostname): OwnDomain {
  const domain = parseOwnDomain(text, zone);
  if (domain !== undefined) return domain;
  const fault =
    domainTextFault(text) ?? sizeFault(text) ?? `belongs to the vendor, as ${zone} does`;
  const next = 'Correct it, or take another one.';
  throw problem('bad-domain', 422, `That domain cannot be used: it ${fault}.`, next);
}

function publicSuffix(domain: OwnDomain): Error {
  const detail =
    `That domain cannot be used: below ${domain} everybody can register a domain, so it is nobody's ` +
    'own (the Public Suffix List has it).';
  return problem('bad-domain', 422, detail, `Take one of yours, such as example.${domain}.`);
}

function sizeFault(text: string): string | undefined {
  const { charsMax, labelsMax } = DOMAIN_LIMITS;
  const domain = text.replace(/\.$/, '');
  if (domain.length <= charsMax && domain.split('.').length <= labelsMax) return undefined;
  return `must have at most ${charsMax} characters and ${labelsMax} parts`;
}

function workspaceOf(text: string): WorkspaceName | undefined {
  if (text === '') return undefined;
  const workspace = parseWorkspaceName(text);
  if (workspace !== undefined) return workspace;
  const fault = workspaceNameFault(text);
  throw problem('bad-name', 422, `That workspace cannot be: its name ${fault}.`, 'Correct it.');
}

export interface ChosenDomain {
  readonly domain: OwnDomain;
  /** Of several names that have it; without it the one that serves it. */
  readonly name?: DeviceName;
}

/** Which domain is meant, as it is typed. */
export function chosenDomain(
  typed: { readonly domain: string; readonly name?: string },
  zone: Hostname,
): ChosenDomain {
  const domain = ownDomain(typed.domain, zone);
  return typed.name === undefined ? { domain } : { domain, name: deviceName(typed.name) };
}

/** The same problem for a domain of somebody else and for one that nobody has. */
export async function ownReport(
  domains: Domains,
  { domain, name, by }: ChosenDomain & { readonly by: By },
): Promise<DomainReport> {
  const found = (await domains.list(by)).filter(
    (report) => report.domain === domain && (name === undefined || report.name === name),
  );
  const report = found.find(({ state }) => state !== 'pending') ?? found[0];
  if (report !== undefined) return report;
  throw unknownDomain(domain);
}

/** Every step is done: visitors are served. */
export function isLive({ steps }: DomainReport): boolean {
  return steps.length > 0 && steps.every(({ state }) => state === 'ok');
}

/** Where visitors find it; `near`: any address of the relay's, for its port. */
export function domainUrl(domain: string, near: string): string {
  const url = new URL('/', near);
  url.hostname = domain;
  return url.href;
}

/** As the APIs say it. */
export function reportJson(report: DomainReport, near: string) {
  const { domain, name, workspace, wildcard, state, entries, steps, checkedAtMs, recent } = report;
  return {
    domain,
    url: domainUrl(domain, near),
    name,
    workspace: workspace ?? null,
    wildcard,
    state,
    live: isLive(report),
    entries,
    steps: steps.map(({ served, next = null, ...step }) => ({ ...step, next })),
    checkedAt: checkedAtMs === undefined ? null : isoTime(checkedAtMs),
    secondsAgo: recent?.secondsAgo ?? null,
    againInSeconds: recent?.againInSeconds ?? null,
  };
}
