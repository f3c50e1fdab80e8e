// Whether a name leads to the relays: by a CNAME to the target that was made for it, or by addresses that
// are all ours, as providers make them of such a CNAME at the top of a domain.
import { decodeIpv6, encodeIpv6 } from '../../dns/ip-text.ts';
import type { Hostname } from '../../dns/name.ts';
import { printable } from '../entrance/printable.ts';
import type { RelayAddresses } from '../registry/own-domains.ts';
import type { CnameChain, Lookup, PublicDns } from './public-dns.ts';
import type { Verdict } from './verdict.ts';

const ROUTING_LIMITS = {
  /** Of a name in a sentence. */
  nameCharsMax: 100,
  /** Of a chain or a set of addresses. */
  itemsMax: 6,
} as const;

export interface Routing {
  readonly verdict: Verdict;
  /** A sentence. */
  readonly found: string;
  /** What to do about it; absent: nothing. */
  readonly next?: string;
  /** The addresses that visitors get and that are ours. */
  readonly ours: readonly string[];
}

export interface RoutingQuestion {
  readonly name: string;
  /** `x7k2.to.vendor.dev` */
  readonly target: string;
  readonly zone: Hostname;
  readonly relays: RelayAddresses;
}

export async function lookAtRouting(
  dns: PublicDns,
  question: RoutingQuestion,
  signal: AbortSignal,
): Promise<Routing> {
  const { name } = question;
  const [chain, four, six] = await Promise.all([
    dns.chain(name, signal),
    dns.addresses4(name, signal),
    dns.addresses6(name, signal),
  ]);
  return judgeRouting(question, chain, [four, six]);
}

function judgeRouting(
  question: RoutingQuestion,
  chain: CnameChain,
  lookups: readonly Lookup<string>[],
): Routing {
  const { name, target, relays } = question;
  const seen = lookups.flatMap((lookup) => (lookup.kind === 'found' ? lookup.values : []));
  const addresses = [...new Set(seen.map(canonical))];
  const known = new Set([...relays.known].map(canonical));
  const ours = addresses.filter((address) => known.has(address));
  if (chain.names.includes(target)) {
    return { verdict: 'right', found: `${name} is a CNAME to ${wordsOf(chain.names)}.`, ours };
  }
  const fault = aliasFault(question, chain);
  if (fault !== undefined) return { ...fault, ours: [] };
  const strange = addresses.filter((address) => !known.has(address));
  if (strange.length > 0) return { ...strangers(name, strange, ours), ours: [] };
  const failed = lookups.find((lookup) => lookup.kind === 'failed');
  if (failed !== undefined) return { ...notAsked(name, failed.why), ours: [] };
  if (ours.length === 0) return { ...nothing(name, chain, lookups), ours: [] };
  const present = new Set([...relays.present].map(canonical));
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
    const next = 'Enter the CNAME, or the addresses, that are told here in the place of that.';
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
  const next = 'Enter the CNAME, or the addresses, at your DNS provider.';
  return { verdict: 'wrong', found, next };
}

function notAsked(name: string, why: string): Judgement {
  const found = `${printable(name, ROUTING_LIMITS.nameCharsMax)} could not be looked up: ${why}.`;
  return { verdict: 'unknown', found, next: 'This is tried again by itself.' };
}

/** Equal addresses as equal texts. */
function canonical(address: string): string {
  const bytes = encodeIpv6(address);
  return (bytes && decodeIpv6(bytes)) ?? address;
}

function wordsOf(items: readonly string[]): string {
  const { itemsMax, nameCharsMax } = ROUTING_LIMITS;
  const some = items.slice(0, itemsMax).map((item) => printable(item, nameCharsMax));
  const more = items.length - some.length;
  return `${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
