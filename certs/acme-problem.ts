// Problem documents of authorities (RFC 8555, section 6.7; RFC 9457) as OrderErrors: what may be tried
// again, what may not, when, and what a person can do about it.
import type { HttpsAnswer } from './acme-http.ts';
import { OrderError, type OrderErrorCode } from './order-error.ts';

const PROBLEM_LIMITS = {
  /** Of what the authority says; Let's Encrypt's longest has 600. */
  detailCharsMax: 600,
  /** A week; longer ones would be a mistake that keeps us away for good. */
  retryAfterMsMax: 7 * 86_400_000,
} as const;

export const PROBLEM = 'urn:ietf:params:acme:error:';

export interface AcmeProblem {
  readonly type: string;
  /** Printable, bounded. */
  readonly detail: string;
  readonly hostname?: string;
}

/** Undefined: it is no problem document. */
export function readProblem(document: unknown): AcmeProblem | undefined {
  if (!isRecord(document)) return undefined;
  const { type, detail, subproblems } = document;
  if (typeof type !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(type)) return undefined;
  const subs = Array.isArray(subproblems) ? subproblems.filter(isRecord) : [];
  const [sub] = subs;
  // Of several names at once the document itself says no more than that there are several.
  if (type === `${PROBLEM}compound` && sub !== undefined)
    return readProblem({ ...sub, subproblems: [sub] });
  const text = printable(typeof detail === 'string' && detail !== '' ? detail : type);
  const identifier = isRecord(sub?.['identifier']) ? sub['identifier']['value'] : undefined;
  if (typeof identifier !== 'string') return { type, detail: text };
  return { type, detail: text, hostname: printable(identifier) };
}

/** The error for an answer of 300 or above. `what` was asked: `a new order for alice.vendor.dev`. */
export function refusalOf(answer: HttpsAnswer, name: string, what: string): OrderError {
  const { status } = answer;
  const problem = readProblem(parseJson(answer.body));
  const facts = { status, retryAfterMs: readRetryAfter(answer.headers['retry-after']) };
  const code = codeOf(status, problem?.type);
  if (problem === undefined) {
    const message = `${name} answered ${what} with HTTP status ${status} and no reason.`;
    return new OrderError(code, message, facts);
  }
  const { type, detail, hostname } = problem;
  const verb = code === 'ERR_ORDER_REFUSED' ? 'refused' : 'did not take';
  const message = sentences(`${name} ${verb} ${what}: ${detail}`, nextStep(type));
  return new OrderError(code, message, { ...facts, problem: type, hostname });
}

/** The error for an order that has become invalid. */
export function invalidOrder(
  name: string,
  what: string,
  problem: AcmeProblem | undefined,
  hostname?: string,
): OrderError {
  const said = problem?.detail ?? 'it gave no reason';
  const message = sentences(`${name} did not accept ${what}: ${said}`, nextStep(problem?.type));
  const facts = { problem: problem?.type, hostname: hostname ?? problem?.hostname };
  return new OrderError('ERR_ORDER_INVALID', message, facts);
}

/** Seconds or a date (RFC 9110, section 10.2.3); undefined: absent, or neither. */
export function readRetryAfter(
  header: string | undefined,
  nowMs: number = Date.now(),
): number | undefined {
  if (header === undefined) return undefined;
  const dateMs = Date.parse(header);
  const waitMs = /^\d{1,15}$/.test(header) ? Number(header) * 1000 : dateMs - nowMs;
  if (Number.isNaN(waitMs)) return undefined;
  return Math.min(Math.max(waitMs, 0), PROBLEM_LIMITS.retryAfterMsMax);
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What others have written, for a log or a terminal: ASCII without control characters, bounded. */
export function printable(text: string): string {
  const max = PROBLEM_LIMITS.detailCharsMax;
  const clean = text
    .slice(0, 2 * max)
    .replace(/\s+/g, ' ')
    .replace(/[^\x20-\x7e]/g, '?')
    .trim();
  return clean.length <= max ? clean : `${clean.slice(0, max)} ...`;
}

function codeOf(status: number, type: string | undefined): OrderErrorCode {
  if (status === 429 || type === `${PROBLEM}rateLimited`) return 'ERR_ORDER_RATE_LIMITED';
  if (status < 400 || status >= 500 || type === undefined) return 'ERR_ORDER_UNAVAILABLE';
  return FLEETING.has(type) ? 'ERR_ORDER_UNAVAILABLE' : 'ERR_ORDER_REFUSED';
}

const FLEETING: ReadonlySet<string> = new Set(
  ['badNonce', 'serverInternal'].map((type) => PROBLEM + type),
);

function nextStep(type: string | undefined): string {
  if (type === undefined || !type.startsWith(PROBLEM)) return '';
  return NEXT_STEPS[type.slice(PROBLEM.length)] ?? '';
}

const NEXT_STEPS: Readonly<Record<string, string>> = {
  caa: 'Let the CAA records of the name, or of the names above it, allow this authority; or remove them.',
  dns: 'Check that its name servers answer from everywhere, also for TXT and CAA.',
  connection:
    'Check that the name leads to the relay, and that ports 80 and 443 are open to everybody.',
  tls: 'Check that port 443 of the name leads to the relay and to nothing in between.',
  unauthorized:
    'Check that the name, and every address of it, leads to the relay or its name servers.',
  incorrectResponse: 'Check that the name, and every address of it, leads to the relay.',
  externalAccountRequired:
    'Set externalAccount to the key id and key that the authority has given you.',
  invalidProfile: 'Set profile to one that the authority offers, or leave it away.',
  invalidContact: 'Set contact to a mail address that the authority can write to.',
  unsupportedContact: 'Set contact to a mail address that the authority can write to.',
  userActionRequired: 'Agree to what the authority asks for.',
};

function sentences(first: string, next: string): string {
  const ended = /[.!?]$/.test(first) ? first : `${first}.`;
  return next === '' ? ended : `${ended} ${next}`;
}
