// `waygate device claim`: shows a short code, an address and, on a terminal, a QR code; waits until the
// owner has confirmed it, and prints the names that the device has then.
import { renderANSI } from 'uqr';
import { awaitClaim, type ClaimOutcome, type OpenClaim, openClaim } from './device-client/claim.ts';
import { askStanding } from './device-client/standing.ts';
import { deviceAtHand } from './device-verbs.ts';
import type { DeviceName } from './dns/name.ts';
import { print, printJson } from './printing.ts';

export interface ClaimFlags {
  readonly name: DeviceName | undefined;
  /** One JSON line for each event. */
  readonly json: boolean;
}

/** Nobody has confirmed the code. */
class ClaimError extends Error {
  override readonly name = 'ClaimError';
  readonly code = 'ERR_CLAIM';
}

export async function claim(configFile: string, { name, json }: ClaimFlags): Promise<void> {
  const { api, publicKey } = await deviceAtHand(configFile);
  const open = await openClaim(api, name);
  const { thumbprint } = publicKey;
  await (json ? tellProgram(open, thumbprint) : tellPerson(open, thumbprint));
  const outcome = await awaitClaim(api, open, (why) => process.stderr.write(`${why} Waiting.\n`));
  if (outcome.kind === 'denied' || outcome.kind === 'expired') {
    throw new ClaimError(FAILURES[outcome.kind]);
  }
  const { names } = await askStanding(api);
  const held = names.filter(({ state }) => state === 'held').map((each) => each.name);
  await (json ? printJson(eventOf(outcome, held)) : tellOutcome(outcome, held));
}

type Success = Exclude<ClaimOutcome, { kind: 'denied' | 'expired' }>;

function tellProgram({ code, url, lifeMs }: OpenClaim, thumbprint: string): Promise<void> {
  const expiresInSeconds = Math.floor(lifeMs / 1_000);
  return printJson({ event: 'opened', code, url, thumbprint, expiresInSeconds });
}

/** The page shows the thumbprint too: whoever compares it confirms no stranger's device. */
async function tellPerson({ code, url, lifeMs }: OpenClaim, thumbprint: string): Promise<void> {
  await print(`code ${code}`);
  await print(`url ${url}`);
  await print(`key ${thumbprint}`);
  if (process.stdout.isTTY) await print(`\n${renderANSI(url, { border: 2 })}`);
  const minutes = Math.round(lifeMs / 60_000);
  const words = `Open the address, sign in, compare the key, and confirm within ${minutes} minutes.`;
  process.stderr.write(`${words} Waiting; Ctrl-C ends that, not the claim.\n`);
}

function eventOf(outcome: Success, names: readonly string[]): object {
  const { kind: event, name } = outcome;
  return event === 'approved'
    ? { event, name, names }
    : { event, name, names, dueAt: outcome.dueAt, waitsForMail: outcome.waitsForMail };
}

async function tellOutcome(outcome: Success, names: readonly string[]): Promise<void> {
  for (const name of names) await print(`name ${name}`);
  if (outcome.kind === 'approved') return;
  const { name, dueAt, waitsForMail } = outcome;
  const when = waitsForMail ? 'not before' : 'at';
  const due = dueAt === undefined ? 'soon' : `${when} ${dueAt}`;
  await print(
    `recovering ${name}: this device gets it ${due}, unless the one that has it now, or its owner, ` +
      `objects until then${waitsForMail ? '; the time begins when the letter to the owner was sent' : ''}`,
  );
}

const FAILURES = {
  denied: 'The claim was refused on the portal. If that was a mistake, claim again.',
  expired: 'Nobody has confirmed the code in time, or a newer claim took its place. Claim again.',
} as const;
