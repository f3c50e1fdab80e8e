// The answer to a question, as a pure function of the question and the zone: which record sets, in
// which section, under which RCODE. Sources, in order: the name itself; the wildcard of its closest
// encloser (RFC 4592); nothing, which is told with the SOA (RFC 2308). A CNAME is followed inside the
// zone (RFC 1034, section 4.3.2).
import { wireLabels } from './domain-name.ts';
import { RCODE } from './error-answer.ts';
import { CLASS, findSet, type RecordSet, TYPE, type ZoneRecord } from './record.ts';
import type { Zone, ZoneNode } from './zone.ts';

const ANSWER_LIMITS = {
  /** A device is one link from the edge, an own domain two; a loop must end. */
  aliasesMax: 8,
} as const;

export interface Question {
  /** As wireLabels() gives them, the leftmost first; the root is []. */
  readonly labels: readonly string[];
  readonly type: number;
  readonly class: number;
}

export interface Answer {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answer: readonly ZoneRecord[];
  readonly authority: readonly ZoneRecord[];
  readonly additional: readonly ZoneRecord[];
  /** The first labels below the apex that were looked at, '' for the apex: what makes it stale. */
  readonly labels: readonly string[];
}

const REFUSED: Answer = {
  rcode: RCODE.REFUSED,
  authoritative: false,
  answer: [],
  authority: [],
  additional: [],
  labels: [],
};

export function answerQuestion(question: Question, zone: Zone): Answer {
  if (question.class !== CLASS.IN) return REFUSED;
  const apex = zone.apex.split('.');
  const first = labelsBelow(question.labels, apex);
  if (first === undefined) return REFUSED;
  const answer: ZoneRecord[] = [];
  const labels: string[] = [];
  const seen = new Set<string>();
  let below = first;
  for (;;) {
    const owner = [...below, ...apex].join('.');
    seen.add(owner);
    labels.push(below.at(-1) ?? '');
    const node = lookUp(below, zone);
    const alias = node === undefined ? undefined : findSet(node.sets, TYPE.CNAME);
    const target = alias === undefined ? undefined : aliasTarget(alias, question.type);
    if (alias === undefined || target === undefined) {
      return conclude(question.type, zone, { node, owner, answer, labels });
    }
    answer.push({ owner, set: alias });
    const next = labelsBelow(target, apex);
    const over = seen.size > ANSWER_LIMITS.aliasesMax || seen.has(target.join('.'));
    if (next === undefined || over) return positive(answer, [], labels);
    below = next;
  }
}

interface Arrival {
  /** What the chain of aliases ended at; undefined: there is no such name. */
  readonly node: ZoneNode | undefined;
  readonly owner: string;
  readonly answer: ZoneRecord[];
  readonly labels: readonly string[];
}

function conclude(type: number, zone: Zone, { node, owner, answer, labels }: Arrival): Answer {
  const set = node === undefined ? undefined : setFor(node.sets, type);
  if (set !== undefined) {
    answer.push({ owner, set });
    const glue = set.type === TYPE.NS ? glueOf(set, zone) : [];
    return positive(answer, glue, labels);
  }
  const rcode = node === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR;
  const authority = [{ owner: zone.apex, set: negativeSoa(zone.soa) }];
  return { rcode, authoritative: true, answer, authority, additional: [], labels };
}

function positive(
  answer: readonly ZoneRecord[],
  additional: readonly ZoneRecord[],
  labels: readonly string[],
): Answer {
  const rcode = RCODE.NOERROR;
  return { rcode, authoritative: true, answer, authority: [], additional, labels };
}

/** ANY is answered with one set, which is enough for a debugger and useless to an amplifier (RFC 8482). */
function setFor(sets: readonly RecordSet[], type: number): RecordSet | undefined {
  return type === TYPE.ANY ? sets[0] : findSet(sets, type);
}

/** Where a CNAME leads; undefined: nowhere for who asked for it itself, or for what can be beside it. */
function aliasTarget(alias: RecordSet, type: number): string[] | undefined {
  if (BESIDE_ALIAS.has(type)) return undefined;
  const data = alias.data[0];
  return data === undefined ? undefined : wireLabels(data, 0);
}

/** RRSIG and NSEC are an alias's own where a zone is signed (RFC 4035, section 2.5). */
const BESIDE_ALIAS: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.ANY, TYPE.RRSIG, TYPE.NSEC]);

/** The labels left of the apex; undefined: the name lies elsewhere. */
function labelsBelow(
  labels: readonly string[],
  apex: readonly string[],
): readonly string[] | undefined {
  const below = labels.length - apex.length;
  if (below < 0) return undefined;
  for (let at = 0; at < apex.length; at += 1) {
    if (labels[below + at] !== apex[at]) return undefined;
  }
  return labels.slice(0, below);
}

/** The node of a name, or the wildcard that stands for it; undefined: the name does not exist. */
function lookUp(below: readonly string[], zone: Zone): ZoneNode | undefined {
  let at = below.length - 1;
  if (at < 0) return zone.apexNode;
  let node = zone.top.get(below[at] ?? '');
  if (node === undefined) return zone.top.get('*');
  for (at -= 1; at >= 0; at -= 1) {
    const child: ZoneNode | undefined = node.children?.get(below[at] ?? '');
    // The node is the closest encloser: only its own wildcard counts, none further up.
    if (child === undefined) return node.children?.get('*');
    node = child;
  }
  return node;
}

/** How long "there is none" holds: RFC 2308, section 3. */
function negativeSoa(soa: RecordSet): RecordSet {
  const data = soa.data[0];
  const minimum = data?.readUInt32BE(data.length - 4) ?? 0;
  return minimum < soa.ttl ? { ...soa, ttl: minimum } : soa;
}

function glueOf(set: RecordSet, zone: Zone): ZoneRecord[] {
  const apex = zone.apex.split('.');
  return set.data.flatMap((data) => {
    const labels = wireLabels(data, 0);
    const below = labelsBelow(labels, apex);
    const sets = below === undefined ? [] : (zone.find(below.toReversed())?.sets ?? []);
    const owner = labels.join('.');
    return sets
      .filter(({ type }) => type === TYPE.A || type === TYPE.AAAA)
      .map((address) => ({ owner, set: address }));
  });
}
