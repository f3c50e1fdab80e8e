// Any bytes from many visitors at a time, each compared with what the pure gate makes of them: the
// workspace may get that much or less, never more and never anything else.
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect } from 'vitest';
import { parseCanonical } from '../entrance/canonical-parser.ts';
import { runGate } from '../entrance/gate-run.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { type VisitorBytes, visitorBytes } from '../entrance/visitor-bytes.ts';
import type { AttackedVendor } from './attacked-vendor.ts';
import { saysClose } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';

export interface Bombardment {
  readonly seed: number;
  readonly visits: number;
  readonly atATime: number;
}

/** What came of it, so that a test can tell that not everything was refused at once. */
export interface Damage {
  requests: number;
  bodies: number;
  refused: number;
}

/** Rejects with seed, number and bytes of the first visit that went wrong. */
export async function bombard(vendor: AttackedVendor, plan: Bombardment): Promise<Damage> {
  const { seed, visits, atATime } = plan;
  const all = fc.sample(visitorBytes, { seed, numRuns: visits });
  const damage: Damage = { requests: 0, bodies: 0, refused: 0 };
  const next = all.entries();
  const soldiers = Array.from({ length: atATime }, async () => {
    for (const [number, attack] of next) {
      await visit(vendor, attack, damage).catch((error: unknown) => {
        const text = JSON.stringify(attack.bytes.toString('latin1'));
        throw new Error(`seed ${seed}, visit ${number}: ${text}`, { cause: error });
      });
    }
  });
  await Promise.all(soldiers);
  return damage;
}

async function visit(vendor: AttackedVendor, attack: VisitorBytes, damage: Damage): Promise<void> {
  const { bytes, cuts } = attack;
  const gate = runGate(bytes, []);
  using visitor = await RawVisitor.dial(vendor);
  const ends = cuts.filter((cut) => cut > 0 && cut < bytes.length).sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    visitor.say(bytes.subarray(from, end));
    from = end;
    await nextTurn();
  }
  visitor.socket.end();
  await visitor.over();
  const seen = vendor.workspace.requestsOf(visitor.address);
  const broken = gate.refused === undefined && !gate.whole;

  expect(vendor.workspace.of(visitor.address).length).toBeLessThanOrEqual(1);
  expect(seen.length).toBeLessThanOrEqual(gate.requests.length);
  for (const [index, { method, target, head, body, whole }] of seen.entries()) {
    const judged = gate.requests[index];
    expect([method, target]).toEqual([judged?.method, judged?.target]);
    expect(parseCanonical(head, CORPUS_HOSTNAME).length).toBe(1);
    expect(head).toContain(`\r\nX-Forwarded-For: ${visitor.address}\r\n`);
    const right = gate.bodies[index] ?? '';
    expect(whole ? body : right.slice(0, body.length)).toBe(whole ? right : body);
  }
  const answers = visitor.finals();
  expect(answers.length).toBeLessThanOrEqual(gate.requests.length + 1);
  if (gate.refused !== undefined) {
    expect(answers.at(-1)?.status).toBe(gate.refused);
    expect(saysClose(answers.at(-1)?.head ?? '')).toBe(true);
  } else if (!broken) {
    expect(seen.filter(({ whole }) => whole).length).toBe(gate.requests.length);
    expect(answers.length).toBe(gate.requests.length);
  }
  damage.requests += seen.length;
  damage.bodies += seen.filter(({ body }) => body !== '').length;
  if (gate.refused !== undefined) damage.refused += 1;
}
