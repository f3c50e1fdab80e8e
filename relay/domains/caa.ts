// Whether CAA records let our certificate authorities sign (RFC 8659): judged here, so that a person is
// told which record is in the way, instead of an order that fails again and again.

import { printable } from '../entrance/printable.ts';
import type { CaaLookup, CaaRecord } from './public-dns.ts';
import type { DomainStep } from './report.ts';
import type { Verdict } from './verdict.ts';

const CAA_LIMITS = {
  /** Of a record in a sentence. */
  recordCharsMax: 120,
  recordsMax: 6,
} as const;

export interface CaaQuestion {
  readonly domain: string;
  readonly wildcard: boolean;
  /** By which our authorities go in such records; none: nobody has told, so any may be meant. */
  readonly identities: readonly string[];
}

export function judgeCaa(
  lookup: CaaLookup,
  question: CaaQuestion,
): { readonly verdict: Verdict; readonly step: DomainStep } {
  const expected = expectation(question);
  if (lookup.kind === 'none')
    return fine('There is no CAA record: every authority may sign.', expected);
  if (lookup.kind === 'failed') {
    const found = `CAA records of ${lookup.at} could not be looked up: ${lookup.why}.`;
    const next = 'This is tried again by itself. No authority signs before it can be looked up.';
    return { verdict: 'unknown', step: { step: 'caa', state: 'waiting', found, expected, next } };
  }
  const { at, records } = lookup;
  const hindrance = hindranceIn(records, question);
  if (hindrance === undefined) return fine(`${wordsOf(records)} at ${at}.`, expected);
  const found = `${wordsOf(records)} at ${at} forbids it: ${hindrance.why}.`;
  const next = `${hindrance.remedy(at)} Then it goes on by itself.`;
  return { verdict: 'wrong', step: { step: 'caa', state: 'wrong', found, expected, next } };
}

function fine(found: string, expected: string) {
  const step: DomainStep = { step: 'caa', state: 'ok', found, expected };
  return { verdict: 'right', step } as const;
}

function expectation({ identities, wildcard }: CaaQuestion): string {
  const kind = wildcard ? 'certificates and wildcard certificates' : 'certificates';
  const who = identities.length === 0 ? 'the authority of this service' : identities.join(' or ');
  return `No CAA record, or one that lets ${who} sign ${kind}.`;
}

interface Hindrance {
  /** As the end of a sentence. */
  readonly why: string;
  readonly remedy: (at: string) => string;
}

/** Those that RFC 8659 and its registry name, which authorities know. */
const KNOWN_TAGS: ReadonlySet<string> = new Set([
  'issue',
  'issuewild',
  'iodef',
  'issuemail',
  'issuevmc',
  'contactemail',
  'contactphone',
]);

function hindranceIn(records: readonly CaaRecord[], question: CaaQuestion): Hindrance | undefined {
  const unknown = records.find(({ critical, tag }) => critical && !KNOWN_TAGS.has(tag));
  if (unknown !== undefined) {
    return {
      why: `its property ${printable(unknown.tag, CAA_LIMITS.recordCharsMax)} is critical, and unknown to authorities`,
      remedy: (at) => `Remove that record at ${at}, or make it one that is not critical.`,
    };
  }
  const issue = records.filter(({ tag }) => tag === 'issue');
  const issueWild = records.filter(({ tag }) => tag === 'issuewild');
  const method = question.wildcard ? ['dns-01'] : ['http-01', 'tls-alpn-01'];
  const plain = refusal('issue', issue, { ...question, method });
  if (plain !== undefined || !question.wildcard || issueWild.length === 0) return plain;
  return refusal('issuewild', issueWild, { ...question, method });
}

function refusal(
  tag: string,
  records: readonly CaaRecord[],
  { identities, method }: CaaQuestion & { readonly method: readonly string[] },
): Hindrance | undefined {
  if (records.length === 0) return undefined;
  const admitted = records
    .map(issuerOf)
    .filter(({ domain }) =>
      identities.length === 0 ? domain !== '' : identities.includes(domain),
    );
  const [ours] = identities;
  const remedy = (at: string) =>
    ours === undefined
      ? `Remove it, or ask the operator of the service which authority to name, and add that one at ${at}.`
      : `Add the CAA record 0 ${tag} "${ours}" at ${at}.`;
  if (admitted.length === 0)
    return { why: `it does not name ${identities.join(' or ') || 'any authority'}`, remedy };
  const usable = admitted.some(
    ({ methods }) => methods === undefined || methods.some((each) => method.includes(each)),
  );
  if (usable) return undefined;
  return { why: `it does not allow the validation method ${method.join(' or ')}`, remedy };
}

/** `letsencrypt.org; validationmethods=dns-01` (RFC 8659, section 4.2; RFC 8657). */
function issuerOf({ value }: CaaRecord): {
  readonly domain: string;
  readonly methods: readonly string[] | undefined;
} {
  const [domain = '', ...parameters] = value.split(';').map((part) => part.trim());
  const methods = parameters
    .map((parameter) => /^validationmethods\s*=\s*(.*)$/i.exec(parameter)?.[1])
    .find((list) => list !== undefined);
  return {
    domain: domain.toLowerCase(),
    methods: methods?.split(',').map((each) => each.trim().toLowerCase()),
  };
}

function wordsOf(records: readonly CaaRecord[]): string {
  const { recordsMax, recordCharsMax } = CAA_LIMITS;
  const some = records.slice(0, recordsMax).map(({ critical, tag, value }) => {
    const text = `${critical ? 128 : 0} ${tag} "${value}"`;
    return printable(text, recordCharsMax);
  });
  const more = records.length - some.length;
  return `The CAA record ${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
