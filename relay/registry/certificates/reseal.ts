// Puts every sealed text of the registry under the envelope's present key, after another one was put at
// the head of its file. Broken off anywhere it is begun again, and does only what is left.
import type { Envelope } from '../../../certs/envelope.ts';
import { EnvelopeError } from '../../../certs/envelope-error.ts';
import type { RegistryWrite } from '../database.ts';
import { accountKeys, certificateKeys, ofEachText, orderKeys } from './sealed-texts.ts';

export interface Resealed {
  readonly resealed: number;
  /** Those that do not open: `certificate alice.vendor.dev`. They are left as they are. */
  readonly lost: readonly string[];
}

export async function resealAll(write: RegistryWrite, envelope: Envelope): Promise<Resealed> {
  let resealed = 0;
  const lost: string[] = [];
  // The key of an order becomes that of a certificate: in this order, it is met in one place or the other.
  for (const store of [orderKeys, certificateKeys, accountKeys]) {
    const outcomes = await ofEachText(write, store, async (db, { about, sealed, replace }) => {
      if (envelope.isCurrent(sealed)) return undefined;
      const fresh = resealOne(envelope, sealed, about);
      if (fresh === undefined) return { lost: about };
      await replace(db, fresh);
      return 'resealed';
    });
    for (const outcome of outcomes) {
      if (outcome === 'resealed') resealed += 1;
      else lost.push(outcome.lost);
    }
  }
  return { resealed, lost };
}

function resealOne(envelope: Envelope, sealed: string, about: string): string | undefined {
  try {
    return envelope.reseal(sealed, about);
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}
