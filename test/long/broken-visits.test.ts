// Many visits that break off: nobody sees bytes of another one, or completes what he has begun.
import { it } from 'vitest';
import { breakOff } from '../relay/attacks/broken-visits.ts';
import { underAttack } from '../relay/attacks/under-attack.ts';

const vendor = underAttack();

it('F-22 visitors who break off see their own bytes only, in 64,000 visits', async () => {
  // In 16 lanes. What a workspace has seen is kept until it is judged.
  for (let run = 0; run < 4; run += 1) await breakOff(vendor(), { seed: run, rounds: 1_000 });
}, 900_000);
