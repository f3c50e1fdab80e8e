// H1-2 with other bytes each time; the seed of a failure is in its message.
import { expect, it } from 'vitest';
import { bombard } from '../relay/attacks/bombardment.ts';
import { underAttack } from '../relay/attacks/under-attack.ts';

const vendor = underAttack();
const VISITS = 10_000;
const TURNS = 5;

it('H1-2 any bytes of 50,000 visits', { timeout: 900_000 }, async () => {
  for (let turn = 0; turn < TURNS; turn += 1) {
    const seed = Math.floor(Math.random() * 0x7fff_ffff);
    await bombard(vendor(), { seed, visits: VISITS, atATime: 24 });
    vendor().workspace.connections.length = 0;
  }
  expect(await vendor().alive()).toBe(true);
});
