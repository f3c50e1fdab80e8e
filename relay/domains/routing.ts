// Whether a name leads to the relays: by a CNAME to the target that was made for it, or by addresses that
// are all ours, as providers make them of such a CNAME at the top of a domain.
import type { Hostname } from '../../dns/name.ts';
import type { RelayAddresses } from '../registry/own-domains.ts';
import { type BrowserFault, lookAtBrowsers } from './browsers.ts';
import type { CnameChain, Lookup, PublicDns } from './public-dns.ts';
import { canonicalSet, strangersOf, wordsOf } from './told-addresses.ts';
import type { Verdict } from './verdict.ts';

export interface Routing {
  readonly verdict: Verdict;
  /** A sentence. */
  readonly found: string;
  /** What to do about it; absent: nothing. */
  readonly next?: string;
  /** The addresses that visitors get and that are ours. */
  readonly ours: readonly string[];
  /** What leads browsers elsewhere all the same. */
  readonly browsers?: BrowserFault | undefined;
}

export interface RoutingQuestion {
  readonly name: string;
  /** `x7k2.to.vendor.dev` */
  readonly target: string;
  readonly zone: Hostname;
  readonly relays: RelayAddresses;
  /** The HTTPS port that the world dials. */
  readonly port: number;
}

export async function lookAtRouting(
  dns: PublicDns,
  question: RoutingQuestion,
  signal: AbortSignal,
): Promise<Routing> {
  const { name } = question;
  const [chain, four, six, browsers] = await Promise.all([
    dns.chain(name, signal),
    dns.addresses4(name, signal),
    dns.addresses6(name, signal),
    lookAtBrowsers(dns, question, signal),
  ]);
  return { ...judgeRouting(question, chain, [four, six]), browsers };
}

function judgeRouting(
  question: RoutingQuestion,
  chain: CnameChain,
  lookups: readonly Lookup<string>[],
): Routing {
  const { name, target, relays } = question;
  const seen = lookups.flatMap((lookup) => (lookup.kind === 'found' ? lookup.values : []));
  const addresses = [...canonicalSet(seen)];
  const known = canonicalSet(relays.known);
  const ours = addresses.filter((address) => known.has(address));
  if (chain.names.includes(target)) {
    return { verdict: 'right', found: `${name} is a CNAME to ${wordsOf(chain.names)}.`, ours };
  }
  const fault = aliasFault(question, chain);
  if (fault !== undefined) return { ...fault, ours: [] };
  const strange = strangersOf(addresses, known);
  if (strange.length > 0) return { ...strangers(name, strange, ours), ours: [] };
  const failed = lookups.find((lookup) => lookup.kind === 'failed');
  if (failed !== undefined) return { ...notAsked(name, failed.why), ours: [] };
  if (ours.length === 0) return { ...nothing(name, chain, lookups), ours: [] };
  const present = canonicalSet(relays.present);
  if (present.size > 0 && !ours.some((address) => present.has(address))) {
    const found = `${name} has ${wordsOf(ours)}, of relays that are away.`;
    return { verdict: 'wrong', found, next: 'Enter the addresses that are in use now.', ours: [] };
  }
  return { verdict: 'right', found: `${name} has ${wordsOf(ours)}, which is ours.`, ours };
}

type Judgement = Omit<Routing, 'ours'>;

function aliasFault({ name, zone }: RoutingQuestion, chain: CnameChain): Judgement | undefined {
  const { names, end, why = '' } = chain;
  if (end === 'failed') return notAsked(names.at(-1) ?? name, why);
  if (end === 'loop') {
    const found = `The CNAME of ${name} leads in a circle: ${wordsOf(names)}.`;
    return { verdict: 'wrong', found, next: 'Make it a CNAME to the target that is told here.' };
  }
  const other = names.find((each) => each.endsWith(`.to.${zone}`));
  if (other === undefined) return undefined;
  return {
    verdict: 'wrong',
    found: `${name} is a CNAME to ${wordsOf([other])}, a target that was made for another entry.`,
    next: 'A target is for one entry alone, and ends with it. Make it a CNAME to the one told here.',
  };
}

function strangers(name: string, strange: readonly string[], ours: readonly string[]): Judgement {
  const found = `${name} leads elsewhere, to ${wordsOf(strange)}`;
  if (ours.length === 0) {
    const next = 'Enter what is told here in the place of that.';
    return { verdict: 'wrong', found: `${found}.`, next };
  }
  return {
    verdict: 'wrong',
    found: `${found} besides ${wordsOf(ours)}, which is ours.`,
    next: `Remove ${wordsOf(strange)} there: visitors would get to either.`,
  };
}

function nothing(
  name: string,
  { names }: CnameChain,
  lookups: readonly Lookup<string>[],
): Judgement {
  const [first] = lookups.flatMap((lookup) => (lookup.kind === 'none' ? [lookup.why] : []));
  const found =
    names.length > 0
      ? `${name} is a CNAME to ${wordsOf(names)}, which has no address.`
      : `${name} leads nowhere: ${first ?? 'it has no address'}.`;
  const next = 'Enter what is told here at your DNS provider.';
  return { verdict: 'wrong', found, next };
}

function notAsked(name: string, why: string): Judgement {
  const found = `${wordsOf([name])} could not be looked up: ${why}.`;
  return { verdict: 'unknown', found, next: 'This is tried again by itself.' };
}
