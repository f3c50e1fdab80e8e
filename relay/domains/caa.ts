// Whether CAA records let our certificate authorities sign (RFC 8659), for our accounts there and by the
// challenges that we answer (RFC 8657): judged here, so that a person is told which record is in the way,
// instead of an order that fails again and again.

import { printable } from '../entrance/printable.ts';
import { type CaaIssue, parseCaaIssue } from './caa-issue.ts';
import type { CaaLookup, CaaRecord } from './public-dns.ts';
import type { DomainStep } from './report.ts';
import type { Verdict } from './verdict.ts';

const CAA_LIMITS = {
  /** Of a record in a sentence; the address of an account is in it. */
  recordCharsMax: 160,
  recordsMax: 6,
} as const;

/** An authority of ours, as CAA records know it. */
export interface CaaIssuer {
  /** By which it goes there; none: it has not told. */
  readonly identities: readonly string[];
  /** The address of our account; `undefined`: it has not told. */
  readonly account: string | undefined;
}

export interface CaaQuestion {
  readonly domain: string;
  readonly wildcard: boolean;
  /** Where one of them has not told how it goes, any other name may be its. */
  readonly issuers: readonly CaaIssuer[];
  /** The challenges by which the domain would be proven. */
  readonly methods: readonly string[];
}

/** The challenges by which an authority may have the domain proven, where records leave it not all of them. */
export interface NarrowedIssuer {
  /** As records name it. */
  readonly issuer: string;
  /** Of those that we answer. */
  readonly methods: readonly string[];
}

export interface CaaJudgement {
  readonly verdict: Verdict;
  readonly step: DomainStep;
  readonly narrowed: readonly NarrowedIssuer[];
}

export function judgeCaa(lookup: CaaLookup, question: CaaQuestion): CaaJudgement {
  const expected = expectation(question);
  if (lookup.kind === 'none')
    return fine('There is no CAA record: every authority may sign.', expected);
  if (lookup.kind === 'failed') {
    const found = `CAA records of ${lookup.at} could not be looked up: ${lookup.why}.`;
    const next = 'This is tried again by itself. No authority signs before it can be looked up.';
    const step = { step: 'caa', state: 'waiting', found, expected, next } as const;
    return { verdict: 'unknown', step, narrowed: [] };
  }
  const { at, records } = lookup;
  const hindrance = hindranceIn(records, question);
  if (hindrance === undefined) {
    return fine(`${wordsOf(records)} at ${at}.`, expected, narrowedBy(records, question));
  }
  const found = `${wordsOf(records)} at ${at} forbids it: ${hindrance.why}.`;
  const next = `${hindrance.remedy(at)} Then it goes on by itself.`;
  const step = { step: 'caa', state: 'wrong', found, expected, next } as const;
  return { verdict: 'wrong', step, narrowed: [] };
}

function fine(
  found: string,
  expected: string,
  narrowed: readonly NarrowedIssuer[] = [],
): CaaJudgement {
  const step: DomainStep = { step: 'caa', state: 'ok', found, expected };
  return { verdict: 'right', step, narrowed };
}

/** What is below the domain is proven in one way anyway, and the domain with it. */
function narrowedBy(
  records: readonly CaaRecord[],
  question: CaaQuestion,
): readonly NarrowedIssuer[] {
  if (question.wildcard) return [];
  const issue = records.filter(({ tag }) => tag === 'issue');
  const fit = issue
    .map(({ value }) => parseCaaIssue(value))
    .filter((each) => each !== undefined)
    .filter((each) => meantBy(each.issuer, question).length > 0)
    .filter((each) => faultOf(each, question) === undefined);
  return [...Map.groupBy(fit, ({ issuer }) => issuer)]
    .flatMap(([issuer, its]) => {
      // One of its records leaves it all of them.
      if (issuer === undefined || its.some(({ methods }) => methods === undefined)) return [];
      const admits = (method: string) => its.some(({ methods }) => methods?.includes(method));
      return [{ issuer, methods: question.methods.filter(admits) }];
    })
    .slice(0, CAA_LIMITS.recordsMax);
}

function expectation({ issuers, wildcard }: CaaQuestion): string {
  const kind = wildcard ? 'certificates and wildcard certificates' : 'certificates';
  const who = identitiesOf(issuers).join(' or ') || 'the authority of this service';
  return `No CAA record, or one that lets ${who} sign ${kind}.`;
}

function identitiesOf(issuers: readonly CaaIssuer[]): string[] {
  return issuers.flatMap(({ identities }) => identities);
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
  const plain = refusal('issue', issue, question);
  if (plain !== undefined || !question.wildcard || issueWild.length === 0) return plain;
  return refusal('issuewild', issueWild, question);
}

/** `undefined`: one of the records admits us, or there is none. */
function refusal(
  tag: string,
  records: readonly CaaRecord[],
  question: CaaQuestion,
): Hindrance | undefined {
  if (records.length === 0) return undefined;
  const { issuers } = question;
  const identities = identitiesOf(issuers);
  const open = issuers.length === 0 || issuers.some((each) => each.identities.length === 0);
  const read = records.map(({ value }) => parseCaaIssue(value));
  const named = read
    .filter((issue) => issue !== undefined)
    .filter(({ issuer }) => issuer !== undefined && (open || identities.includes(issuer)));
  const faults = named.map((issue) => faultOf(issue, question));
  if (faults.includes(undefined)) return undefined;
  const [why] = faults;
  const remedy = remedyOf(tag, question, named);
  if (why !== undefined) return { why, remedy };
  // As if it named nobody (RFC 8659, section 4.2).
  if (read.includes(undefined)) return { why: 'its value cannot be read by an authority', remedy };
  return { why: `it does not name ${identities.join(' or ') || 'any authority'}`, remedy };
}

/** Why a record that names our authority does not admit us; `undefined`: it does. */
function faultOf(
  { issuer, accounts, methods }: CaaIssue,
  question: CaaQuestion,
): string | undefined {
  const accountsThere = meantBy(issuer, question).map(({ account }) => account);
  // Several at once fit nobody (RFC 8657, section 3).
  if (accounts.length > 1) return 'it names more than one account (accounturi), which fits none';
  const [wanted] = accounts;
  const strange =
    wanted !== undefined &&
    accountsThere.every((account) => account !== undefined && account !== wanted);
  if (strange && accountsThere.length > 0)
    return `it is for another account at ${issuer} than ours (accounturi)`;
  const usable = methods === undefined || question.methods.some((each) => methods.includes(each));
  if (usable) return undefined;
  return `it does not allow the validation method ${question.methods.join(' or ')}`;
}

/** Those of ours that go by this name; where none does, those that have not told how they go. */
function meantBy(issuer: string | undefined, { issuers }: CaaQuestion): readonly CaaIssuer[] {
  const named = issuers.filter(({ identities }) => identities.some((each) => each === issuer));
  return named.length > 0 ? named : issuers.filter(({ identities }) => identities.length === 0);
}

/** As narrow as the owner has made the record that is in the way. */
function remedyOf(
  tag: string,
  question: CaaQuestion,
  named: readonly CaaIssue[],
): Hindrance['remedy'] {
  const [narrow] = named;
  const identity = narrow?.issuer ?? identitiesOf(question.issuers)[0];
  if (identity === undefined) {
    return (at) =>
      `Remove it, or ask the operator of the service which authority to name, and add that one at ${at}.`;
  }
  const [account] = meantBy(identity, question).flatMap((each) => each.account ?? []);
  const value = [
    identity,
    ...(narrow !== undefined && narrow.accounts.length > 0 && account !== undefined
      ? [`accounturi=${account}`]
      : []),
    ...(narrow?.methods === undefined ? [] : [`validationmethods=${question.methods.join(',')}`]),
  ];
  return (at) => `Add the CAA record 0 ${tag} "${value.join('; ')}" at ${at}.`;
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
