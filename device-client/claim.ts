// A claim: the device shows a short code, its owner confirms it on the portal, and the device's key has
// a name. Survives a relay that restarts: the claim is the relay's to remember.
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../relay/entrance/printable.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import { BackOff } from './back-off.ts';

const CLAIM_LIMITS = {
  /** Whatever a relay asks for: often enough for a person, seldom enough for a relay. */
  pollMinMs: 1_000,
  pollMaxMs: 30_000,
  /** A claim that a relay says lives longer is opened anew. */
  lifeMaxMs: 86_400_000,
  /** After its end, for a relay that is away at that moment to say so itself. */
  graceMs: 60_000,
  /** Of what a person is shown. */
  codeCharsMax: 40,
  /** A hostname of 253 characters, and the code. */
  urlCharsMax: 320,
} as const;

export interface OpenClaim {
  readonly id: string;
  /** What the person types. */
  readonly code: string;
  /** Where; with the code in it. */
  readonly url: string;
  readonly lifeMs: number;
  readonly pollMs: number;
}

export type ClaimOutcome =
  | { readonly kind: 'approved'; readonly name: string }
  /** The name will be this device's, unless its present one or its owner objects. */
  | {
      readonly kind: 'recovering';
      readonly name: string;
      readonly dueAt: string | undefined;
      /** Then it is not before that: its time begins when the mail server has the letter about it. */
      readonly waitsForMail: boolean;
    }
  | { readonly kind: 'denied' }
  | { readonly kind: 'expired' };

/** Opens a claim; an older one of this device is over by that. */
export async function openClaim(api: DeviceApi, name: string | undefined): Promise<OpenClaim> {
  const answer = await api.ask('POST', '/v1/device/claims', name === undefined ? {} : { name });
  const { codeCharsMax, urlCharsMax, lifeMaxMs, pollMinMs, pollMaxMs } = CLAIM_LIMITS;
  return {
    id: answer.text('id'),
    code: printable(answer.text('code'), codeCharsMax),
    url: printable(answer.text('url'), urlCharsMax),
    lifeMs: within(answer.number('expiresInSeconds') * 1_000, 0, lifeMaxMs),
    pollMs: within(answer.number('pollSeconds') * 1_000, pollMinMs, pollMaxMs),
  };
}

/** Asks until somebody has decided, or the claim is over. */
export async function awaitClaim(
  api: DeviceApi,
  claim: OpenClaim,
  /** Told once per outage, for a person who waits. */
  interrupted: (why: string) => void,
): Promise<ClaimOutcome> {
  const endMs = performance.now() + claim.lifeMs + CLAIM_LIMITS.graceMs;
  let backOff: BackOff | undefined;
  for (;;) {
    await delay(backOff?.next() ?? claim.pollMs);
    if (performance.now() > endMs) return { kind: 'expired' };
    try {
      const outcome = await askClaim(api, claim.id);
      if (outcome !== undefined) return outcome;
      backOff = undefined;
    } catch (error) {
      if (!(error instanceof ApiError && error.passing)) throw error;
      if (backOff === undefined) interrupted(error.message);
      backOff ??= new BackOff();
    }
  }
}

async function askClaim(api: DeviceApi, id: string): Promise<ClaimOutcome | undefined> {
  const answer = await api.ask('GET', `/v1/device/claims/${encodeURIComponent(id)}`);
  const named = () => printable(answer.text('name'), CLAIM_LIMITS.codeCharsMax);
  switch (answer.text('state')) {
    case 'approved':
      return { kind: 'approved', name: named() };
    case 'recovering': {
      const dueAt = answer.optionalText('dueAt');
      const due = dueAt && printable(dueAt, CLAIM_LIMITS.codeCharsMax);
      const waitsForMail = answer.optionalFlag('waitsForMail') === true;
      return { kind: 'recovering', name: named(), dueAt: due, waitsForMail };
    }
    case 'denied':
      return { kind: 'denied' };
    case 'expired':
      return { kind: 'expired' };
    default:
      return undefined;
  }
}

function within(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
