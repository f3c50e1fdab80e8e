// What went wrong, told to programs by RFC 9457 and to people as a page: what happened, why, and the
// next step. Whatever is thrown in a route becomes one of these; only what is meant for the asker
// leaves the relay, and nothing of the registry's own faults but that there is one.
import { STATUS_CODES } from '../protocol/node-http.ts';
import { RegistryError, type RegistryErrorCode } from '../registry/registry-error.ts';

export interface Problem {
  /** The end of `urn:waygate:problem:`. */
  readonly kind: string;
  readonly status: number;
  readonly detail: string;
  /** What the asker can do now. */
  readonly next: string;
  readonly retryAfterSeconds?: number;
}

export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.detail} ${problem.next}`);
    this.problem = problem;
  }
}

export function problem(kind: string, status: number, detail: string, next: string): ProblemError {
  return new ProblemError({ kind, status, detail, next });
}

/** As it goes over the wire, `application/problem+json`. */
export function problemJson({ kind, status, detail, next }: Problem) {
  return {
    type: `urn:waygate:problem:${kind}`,
    title: STATUS_CODES[status] ?? 'Problem',
    status,
    detail,
    next,
  };
}

/** The problem behind anything that was thrown; a fault of our own is the same for everybody. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof RegistryError) return refusal(error) ?? REGISTRY_FAULT;
  if (!(error instanceof Error)) return FAULT;
  const status = 'statusCode' in error ? error.statusCode : undefined;
  if (typeof status !== 'number' || status < 400 || status > 499) return FAULT;
  return REQUEST_PROBLEMS[status] ?? { ...BAD_REQUEST, status, ...validationDetail(error) };
}

/** A refusal, to be shown with the form that it answers. Throws what is none. */
export function refusalOf(error: unknown): Problem {
  const known = error instanceof ProblemError || error instanceof RegistryError;
  const found = problemOf(error);
  if (!known || isFault(found)) throw error;
  return found;
}

/** Whether somebody should look at it. */
export function isFault({ status }: Problem): boolean {
  return status >= 500;
}

const FAULT: Problem = {
  kind: 'fault',
  status: 500,
  detail: 'Something failed here, and it is not your doing.',
  next: 'Try again in a minute. If it stays, tell the operator the time.',
};

const REGISTRY_FAULT: Problem = {
  kind: 'registry-unavailable',
  status: 503,
  detail: 'Nothing about names can be changed at the moment. What exists goes on working.',
  next: 'Try again in a minute.',
  retryAfterSeconds: 5,
};

const BAD_REQUEST: Problem = {
  kind: 'bad-request',
  status: 400,
  detail: 'The request is not as it should be.',
  next: 'Compare it with /openapi.json.',
};

/** ajv names the field and the rule, never the value. */
function validationDetail(error: Error): Partial<Problem> {
  if (!('validation' in error)) return {};
  return { kind: 'invalid-field', detail: `${error.message.replace(/\.$/, '')}.` };
}

const REQUEST_PROBLEMS: Readonly<Record<number, Problem>> = {
  413: {
    kind: 'body-too-large',
    status: 413,
    detail: 'The body of the request is larger than 16 KiB.',
    next: 'Send less.',
  },
  415: {
    kind: 'wrong-content-type',
    status: 415,
    detail: 'The body is of a type that is not read here.',
    next: 'Send JSON with "Content-Type: application/json".',
  },
};

/** The refusals of deeds; what is missing here is a fault of the registry, whose words are not for all. */
const REFUSALS: Readonly<Partial<Record<RegistryErrorCode, readonly [kind: string, number]>>> = {
  ERR_NAME_TAKEN: ['name-taken', 409],
  ERR_NAME_QUARANTINED: ['name-quarantined', 409],
  ERR_NAME_RESERVED: ['name-reserved', 409],
  ERR_NAME_LOOKALIKE: ['name-lookalike', 409],
  ERR_NAME_UNKNOWN: ['name-unknown', 404],
  ERR_NOT_YOURS: ['name-unknown', 404],
  ERR_RECOVERY_UNKNOWN: ['recovery-unknown', 404],
  ERR_RECOVERY_WAITING: ['recovery-waiting', 409],
  ERR_RECOVERY_COOLING: ['recovery-cooling', 409],
  ERR_TRANSFER_UNKNOWN: ['transfer-unknown', 404],
  ERR_TOO_MANY_NAMES: ['too-many-names', 409],
  ERR_TOO_MANY_RENAMES: ['too-many-renames', 409],
  ERR_TOO_MANY_CLAIMS: ['too-many-claims', 429],
  ERR_DEVICE_UNKNOWN: ['device-unknown', 404],
  ERR_DEVICE_REVOKED: ['device-barred', 409],
  ERR_DOMAIN_TAKEN: ['domain-taken', 409],
  ERR_DOMAIN_UNKNOWN: ['domain-unknown', 404],
  ERR_TOO_MANY_DOMAINS: ['too-many-domains', 409],
  ERR_TOO_MANY_LETTERS: ['too-many-letters', 429],
  ERR_KEY_KNOWN: ['key-known', 409],
  ERR_ADDRESS_REFUSED: ['address-refused', 409],
};

/** The last sentence of a refusal is the next step. */
function refusal({ code, message }: RegistryError): Problem | undefined {
  const found = REFUSALS[code];
  if (found === undefined) return undefined;
  const [kind, status] = found;
  const cut = message.lastIndexOf('. ', message.length - 2) + 1;
  return { kind, status, detail: message.slice(0, cut), next: message.slice(cut).trim() };
}
