// Where browsers go besides: they ask for HTTPS records (RFC 9460) before all addresses, and believe them.
// One that another provider has left leads them to him, though the CNAME or the addresses are right.
import { printable } from '../entrance/printable.ts';
import type { HttpsRecord } from './https-records.ts';
import type { Lookup, PublicDns } from './public-dns.ts';
import type { RoutingQuestion } from './routing.ts';
import { strangersOf, wordsOf } from './told-addresses.ts';

const BROWSER_LIMITS = {
  /** Of a record in a sentence. */
  recordCharsMax: 160,
  /** Of those that are looked at; each may name a host that has to be looked up. */
  recordsMax: 8,
} as const;

/** What leads browsers elsewhere, as sentences. */
export interface BrowserFault {
  readonly found: string;
  /** Absent: nobody could be asked, which is no fault of the domain. */
  readonly next?: string;
}

/** The first of the records that leads elsewhere. */
export async function lookAtBrowsers(
  dns: PublicDns,
  question: RoutingQuestion,
  signal: AbortSignal,
): Promise<BrowserFault | undefined> {
  const records = await dns.https(question.name, signal);
  if (records.kind === 'none') return undefined;
  if (records.kind === 'failed') {
    const { why } = records;
    return { found: `Whether an HTTPS record leads browsers elsewhere is not known: ${why}.` };
  }
  const judged = await Promise.all(
    records.values
      .slice(0, BROWSER_LIMITS.recordsMax)
      .map((record) => faultOf(record, { dns, question, signal })),
  );
  return judged.find((fault) => fault !== undefined);
}

interface Surroundings {
  readonly dns: PublicDns;
  readonly question: RoutingQuestion;
  readonly signal: AbortSignal;
}

async function faultOf(
  record: HttpsRecord,
  around: Surroundings,
): Promise<BrowserFault | undefined> {
  const { question } = around;
  // Of a name in the zone they are ours; what browsers do not understand they pass over (section 8).
  if (isOurs(record.owner, question) || !isUnderstood(record)) return undefined;
  const why = ownFault(record, question) ?? (await targetFault(record, around));
  if (why === undefined) return undefined;
  const text = printable(record.text, BROWSER_LIMITS.recordCharsMax);
  const at = wordsOf([record.owner]);
  return {
    found: `But the HTTPS record ${text} at ${at} ${why}.`,
    next: `Remove the HTTPS record at ${at}: browsers need none, and believe it before all addresses.`,
  };
}

function isOurs(name: string, { zone }: RoutingQuestion): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

const UNDERSTOOD = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint'];

function isUnderstood({ parameters }: HttpsRecord): boolean {
  const mandatory = parameters.get('mandatory')?.split(',') ?? [];
  return mandatory.every((key) => UNDERSTOOD.includes(key));
}

/** Why the record itself is in the way, as the end of a sentence that begins with it. */
function ownFault(
  { priority, parameters }: HttpsRecord,
  { relays, port }: RoutingQuestion,
): string | undefined {
  if (priority === 0) return undefined;
  const hints = ['ipv4hint', 'ipv6hint'].flatMap((key) => parameters.get(key)?.split(',') ?? []);
  const strange = strangersOf(hints, relays.known);
  if (strange.length > 0) return `leads browsers elsewhere, to ${wordsOf(strange)}`;
  // Nobody here has the key, and what it hides is where the visitor wants to go.
  if (parameters.has('ech'))
    return 'has browsers hide the name from us by a key (ech) that is not ours';
  const told = parameters.get('port');
  if (told !== undefined && told !== String(port)) return `leads browsers to port ${told}`;
  // What is told comes in addition to HTTP/1.1, unless the record says that it does not (section 7.1.2).
  if (!parameters.has('no-default-alpn')) return undefined;
  const protocols = parameters.get('alpn')?.split(',') ?? [];
  if (protocols.some((protocol) => SPOKEN.has(protocol))) return undefined;
  return 'promises browsers only protocols that are not spoken here';
}

const SPOKEN: ReadonlySet<string> = new Set(['h2', 'http/1.1']);

/** Why the host that it names is in the way. */
async function targetFault(
  { owner, priority, target }: HttpsRecord,
  { dns, question, signal }: Surroundings,
): Promise<string | undefined> {
  if (target === '') return priority === 0 ? 'says that there is nothing for browsers' : undefined;
  // The name itself is looked at anyway.
  if (target === owner || target === question.name || isOurs(target, question)) return undefined;
  const lookups: Lookup<string>[] = await Promise.all([
    dns.addresses4(target, signal),
    dns.addresses6(target, signal),
  ]);
  const seen = lookups.flatMap((lookup) => (lookup.kind === 'found' ? lookup.values : []));
  const strange = strangersOf(seen, question.relays.known);
  const host = wordsOf([target]);
  if (strange.length > 0) return `leads browsers elsewhere, to ${host} with ${wordsOf(strange)}`;
  const nowhere = seen.length === 0 && lookups.every(({ kind }) => kind === 'none');
  return nowhere ? `leads browsers to ${host}, which has no address` : undefined;
}
