import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Proof } from '../../certs/order.ts';
import type { Endpoint } from '../world/hostile-ca-wire.ts';
import { ALICE, OrderStand } from '../world/order-stand.ts';

let stand: OrderStand;

beforeEach(async () => {
  stand = await OrderStand.make();
});

afterEach(() => stand[Symbol.asyncDispose]());

describe('our own side of an order', () => {
  test('a proof that cannot be shown: nobody is told to look, the others are taken away', async () => {
    const prover = {
      choose: () => ['dns-01'] as const,
      show: async (proof: Proof) => {
        if (proof.wildcard) throw new Error('ns2.vendor.dev does not serve it.');
        stand.shown.add(proof);
        return async () => void stand.shown.delete(proof);
      },
    };
    await expect(stand.order({ prover })).rejects.toMatchObject({
      code: 'ERR_ORDER_PROOF',
      hostname: ALICE,
      message: 'The proof could not be shown (dns-01): ns2.vendor.dev does not serve it.',
    });
    expect(stand.ca.count('challenge')).toBe(0);
    expect((await stand.order({ url: stand.urls[0] })).url).toBe(stand.urls[0]);
  });

  test('a prover that never comes to an end: left, and taken away when it has shown after all', async () => {
    const late = Promise.withResolvers<void>();
    const hidden = Promise.withResolvers<void>();
    const prover = {
      choose: () => ['dns-01'] as const,
      show: async () => {
        await late.promise;
        return async () => hidden.resolve();
      },
    };
    await expect(stand.order({ prover })).rejects.toMatchObject({
      code: 'ERR_ORDER_PROOF',
      message: 'The proof could not be shown (dns-01): it took too long.',
    });
    late.resolve();
    await hidden.promise;
  });

  test('a prover that cannot take its proofs away holds nobody up', async () => {
    const prover = {
      choose: () => ['dns-01'] as const,
      show: async () => () => new Promise<void>(() => undefined),
    };
    expect((await stand.order({ prover })).chainPem).toContain('BEGIN CERTIFICATE');
  });

  test.each<Endpoint>([
    ...(['directory', 'newOrder', 'authorization', 'challenge', 'finalize'] as const),
  ])('is stopped while %s is under way, at once', async (place) => {
    const patient = await stand.open({}, {});
    const stop = new AbortController();
    stand.ca.meddle = ({ endpoint }) => {
      if (endpoint !== place) return undefined;
      setImmediate(() => stop.abort());
      return { slowMs: 50 };
    };
    await expect(patient.order(stand.wish({ signal: stop.signal }))).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      message: expect.stringContaining('was stopped'),
    });
  });

  test('an authorization that nobody will need is given up, one of an order that lives is not', async () => {
    // The wildcard's is bad from the start; the other one was never answered.
    const begun = async (): Promise<void> => {
      for (const each of stand.ca.authorizations.values()) {
        if (each.wildcard) each.status = 'invalid';
      }
    };
    await expect(stand.order({ begun })).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
    expect([...stand.ca.authorizations.values()].map(({ status }) => status).sort()).toEqual([
      'deactivated',
      'invalid',
    ]);
  });
});
