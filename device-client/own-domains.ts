// The own domains of a device, as the relay tells of them: what has to be entered at the DNS provider,
// how far each is, and what its owner can do with it. All texts are fit for a terminal.
import type { DeviceName, Hostname, WorkspaceName } from '../dns/name.ts';
import { printable } from '../relay/entrance/printable.ts';
import type { DeviceApi } from './api.ts';
import type { Answer } from './api-answer.ts';

export interface OwnDomainStep {
  /** `proof`, `routing`, `caa`, `certificate`, `live`: in this order. */
  readonly step: string;
  readonly state: 'ok' | 'waiting' | 'wrong';
  readonly found: string;
  readonly expected: string;
  /** What to do. */
  readonly next?: string;
}

export interface OwnDomainEntry {
  readonly type: string;
  readonly owner: string;
  readonly value: string;
  readonly why: string;
  /** one-of: the CNAME, or the addresses · wildcard: besides, as the domain is a wildcard. */
  readonly needed: 'yes' | 'one-of' | 'wildcard';
}

export interface OwnDomain {
  readonly domain: string;
  /** Where visitors find it. */
  readonly url: string;
  readonly name: string;
  /** Absent: the whole device. */
  readonly workspace?: string;
  readonly wildcard: boolean;
  readonly state: 'pending' | 'proven' | 'suspended';
  /** Every step is done. */
  readonly live: boolean;
  readonly entries: readonly OwnDomainEntry[];
  readonly steps: readonly OwnDomainStep[];
  /** When the relay looked last, ISO 8601. */
  readonly checkedAt?: string;
  /** Of a check: somebody had just looked, so many seconds ago. */
  readonly secondsAgo?: number;
  /** It is looked at again then. */
  readonly againInSeconds?: number;
}

export interface WantedDomain {
  readonly domain: Hostname;
  readonly name: DeviceName;
  readonly workspace: WorkspaceName | undefined;
  readonly wildcard: boolean;
}

const DOMAIN_LIMITS = {
  /** Longer than any domain with a port, name or word. */
  wordCharsMax: 280,
  /** Of what was found: a chain of CNAMEs, or several TXT records. */
  sentenceCharsMax: 800,
} as const;

export async function askDomains(api: DeviceApi): Promise<readonly OwnDomain[]> {
  const answer = await api.ask('GET', '/v1/device/domains');
  return answer.list('domains').map(readDomain);
}

/** The same again is no fault: it tells the same entries. */
export async function addDomain(api: DeviceApi, wanted: WantedDomain): Promise<OwnDomain> {
  return readDomain(await api.ask('POST', '/v1/device/domains', wanted));
}

/** One of several names that have the domain may be meant; without `name` the one that serves it. */
export interface ChosenDomain {
  readonly domain: Hostname;
  readonly name: DeviceName | undefined;
}

/** The relay looks at once; when it has just looked, it tells what it has found, and looks again soon. */
export async function checkDomain(
  api: DeviceApi,
  { domain, name }: ChosenDomain,
  signal?: AbortSignal,
): Promise<OwnDomain> {
  return readDomain(await api.ask('POST', `/v1/device/domains/${domain}/check`, { name }, signal));
}

/** Without a name from all names of the device. */
export async function removeDomain(api: DeviceApi, { domain, name }: ChosenDomain): Promise<void> {
  await api.ask('POST', `/v1/device/domains/${domain}/remove`, { name });
}

function readDomain(answer: Answer): OwnDomain {
  const workspace = optionalWord(answer, 'workspace');
  const checkedAt = optionalWord(answer, 'checkedAt');
  const [secondsAgo, againInSeconds] = ['secondsAgo', 'againInSeconds'].map((member) =>
    answer.optionalNumber(member),
  );
  return {
    domain: word(answer, 'domain'),
    url: word(answer, 'url'),
    name: word(answer, 'name'),
    ...(workspace === undefined ? {} : { workspace }),
    wildcard: answer.flag('wildcard'),
    state: STATES.find((state) => state === answer.text('state')) ?? 'pending',
    live: answer.flag('live'),
    entries: answer.list('entries').map(readEntry),
    steps: answer.list('steps').map(readStep),
    ...(checkedAt === undefined ? {} : { checkedAt }),
    ...(secondsAgo === undefined ? {} : { secondsAgo }),
    ...(againInSeconds === undefined ? {} : { againInSeconds }),
  };
}

function readEntry(answer: Answer): OwnDomainEntry {
  return {
    type: word(answer, 'type'),
    owner: word(answer, 'owner'),
    value: word(answer, 'value'),
    why: sentence(answer, 'why'),
    needed: NEEDS.find((need) => need === answer.text('needed')) ?? 'yes',
  };
}

function readStep(answer: Answer): OwnDomainStep {
  const next = answer.optionalText('next');
  return {
    step: word(answer, 'step'),
    state: STEP_STATES.find((state) => state === answer.text('state')) ?? 'waiting',
    found: sentence(answer, 'found'),
    expected: sentence(answer, 'expected'),
    ...(next === undefined ? {} : { next: printable(next, DOMAIN_LIMITS.sentenceCharsMax) }),
  };
}

const STATES = ['pending', 'proven', 'suspended'] as const;
const NEEDS = ['yes', 'one-of', 'wildcard'] as const;
const STEP_STATES = ['ok', 'waiting', 'wrong'] as const;

function word(answer: Answer, member: string): string {
  return printable(answer.text(member), DOMAIN_LIMITS.wordCharsMax);
}

function optionalWord(answer: Answer, member: string): string | undefined {
  const text = answer.optionalText(member);
  return text === undefined ? undefined : printable(text, DOMAIN_LIMITS.wordCharsMax);
}

function sentence(answer: Answer, member: string): string {
  return printable(answer.text(member), DOMAIN_LIMITS.sentenceCharsMax);
}
