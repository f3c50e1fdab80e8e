// What an authority answers, read strictly: whatever is missing, odd or beyond a bound makes the whole
// answer useless (`undefined`), as nobody knows what it would have meant.
import { type AcmeProblem, isRecord, readProblem } from './acme-problem.ts';

const ANSWER_LIMITS = {
  /** As many names as an order may have. */
  authorizationsMax: 100,
  /** There are five kinds. */
  challengesMax: 20,
  /** Authorities offer two to five. */
  profilesMax: 50,
  /** Names by which one authority goes. */
  caaIdentitiesMax: 20,
} as const;

export interface DirectoryDocument {
  readonly newNonce: string;
  readonly renewalInfo: string | undefined;
  /** Names of the kinds of certificates that may be asked for. */
  readonly profiles: readonly string[];
  /** The document itself. */
  readonly document: object;
  /** How CAA records name the authority. */
  readonly caaIdentities: readonly string[];
}

export interface AcmeOrder {
  readonly url: string;
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  /** Sorted. */
  readonly names: readonly string[];
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate: string | undefined;
  readonly problem: AcmeProblem | undefined;
}

export interface AcmeChallenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
  readonly status: string;
  readonly problem: AcmeProblem | undefined;
}

export interface AcmeAuthorization {
  readonly url: string;
  /** Without `*.`. */
  readonly hostname: string;
  readonly wildcard: boolean;
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked';
  readonly challenges: readonly AcmeChallenge[];
}

export function readDirectory(document: unknown): DirectoryDocument | undefined {
  if (!isRecord(document)) return undefined;
  const { newNonce, newAccount, newOrder, renewalInfo, meta } = document;
  if (!isUrl(newNonce) || !isUrl(newAccount) || !isUrl(newOrder)) return undefined;
  const profiles =
    isRecord(meta) && isRecord(meta['profiles']) ? Object.keys(meta['profiles']) : [];
  return {
    newNonce,
    renewalInfo: isUrl(renewalInfo) ? renewalInfo : undefined,
    profiles: profiles.slice(0, ANSWER_LIMITS.profilesMax),
    caaIdentities: identitiesOf(meta),
    document,
  };
}

function identitiesOf(meta: unknown): readonly string[] {
  const given: unknown = isRecord(meta) ? meta['caaIdentities'] : undefined;
  if (!Array.isArray(given)) return [];
  const names = given.filter((each) => typeof each === 'string' && each.length <= 253);
  return names.slice(0, ANSWER_LIMITS.caaIdentitiesMax);
}

export function readOrder(document: unknown, url: unknown): AcmeOrder | undefined {
  if (!isRecord(document) || !isUrl(url)) return undefined;
  const { status, identifiers, authorizations, finalize, certificate, error } = document;
  if (!isOneOf(ORDER_STATES, status) || !isUrl(finalize)) return undefined;
  if (!Array.isArray(authorizations) || !authorizations.every(isUrl)) return undefined;
  if (authorizations.length > ANSWER_LIMITS.authorizationsMax) return undefined;
  if (certificate !== undefined && !isUrl(certificate)) return undefined;
  const names = Array.isArray(identifiers) ? identifiers.map(readIdentifier) : [];
  if (!names.every((name) => name !== undefined)) return undefined;
  return {
    url,
    status,
    names: names.sort(),
    authorizations,
    finalize,
    certificate,
    problem: readProblem(error),
  };
}

export function readAuthorization(document: unknown, url: string): AcmeAuthorization | undefined {
  if (!isRecord(document)) return undefined;
  const { identifier, status, challenges, wildcard } = document;
  const hostname = readIdentifier(identifier);
  if (hostname === undefined || !isOneOf(AUTHORIZATION_STATES, status)) return undefined;
  if (!Array.isArray(challenges) || challenges.length > ANSWER_LIMITS.challengesMax)
    return undefined;
  return {
    url,
    hostname,
    wildcard: wildcard === true,
    status,
    // A kind of challenge that is not understood is none that we would choose.
    challenges: challenges.map(readChallenge).filter((each) => each !== undefined),
  };
}

/** The window of a renewal (RFC 9773, section 4.2) in epoch milliseconds. */
export function readWindow(
  document: unknown,
): { startMs: number; endMs: number; explanationUrl?: string } | undefined {
  if (!isRecord(document) || !isRecord(document['suggestedWindow'])) return undefined;
  const { start, end } = document['suggestedWindow'];
  const startMs = readTime(start);
  const endMs = readTime(end);
  if (startMs === undefined || endMs === undefined) return undefined;
  const { explanationURL } = document;
  return { startMs, endMs, ...(isUrl(explanationURL) ? { explanationUrl: explanationURL } : {}) };
}

const ORDER_STATES = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;
const AUTHORIZATION_STATES = [
  ...(['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked'] as const),
];

function readChallenge(document: unknown): AcmeChallenge | undefined {
  if (!isRecord(document)) return undefined;
  const { type, url, token, status, error } = document;
  if (typeof type !== 'string' || !isUrl(url) || typeof status !== 'string') return undefined;
  if (!isToken(token)) return undefined;
  return { type, url, token, status, problem: readProblem(error) };
}

function readIdentifier(identifier: unknown): string | undefined {
  if (!isRecord(identifier) || identifier['type'] !== 'dns') return undefined;
  const { value } = identifier;
  return typeof value === 'string' && value.length <= 255 ? value.toLowerCase() : undefined;
}

/** It becomes a part of a path and of a record: 128 bits in base64url at least (RFC 8555, section 8.1). */
function isToken(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z0-9_-]{22,128}$/.test(text);
}

function isUrl(text: unknown): text is string {
  return (
    typeof text === 'string' && /^https:\/\/[\x21-\x7e]{1,1000}$/.test(text) && URL.canParse(text)
  );
}

/** RFC 3339; years that neither we nor a certificate will see are none. */
function readTime(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^20\d\d-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text)) {
    return undefined;
  }
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

function isOneOf<T extends string>(states: readonly T[], status: unknown): status is T {
  return states.some((state) => state === status);
}
