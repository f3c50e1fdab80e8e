// The proofs of one order: all of them are shown at once (a name and its wildcard have one owner in DNS and
// two values there), then the authority is told to look, and all are taken away again, whatever happened.
import { createHash } from 'node:crypto';
import { parseHostname } from '../dns/name.ts';
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from './acme-answer.ts';
import { invalidOrder } from './acme-problem.ts';
import type { Order, Proof } from './order.ts';
import type { OrderCalls } from './order-calls.ts';
import { OrderError } from './order-error.ts';
import { waitUntil } from './order-wait.ts';

interface Open {
  readonly authorization: AcmeAuthorization;
  readonly challenge: AcmeChallenge;
  readonly proof: Proof;
}

type Hide = () => Promise<void>;

/** Resolves when every name of the order is proven. */
export async function proveNames(calls: OrderCalls, order: AcmeOrder, wish: Order): Promise<void> {
  const told = await Promise.all(order.authorizations.map((url) => calls.authorization(url)));
  const authorizations = told.map(({ value }) => value);
  try {
    await prove(calls, authorizations, wish);
  } catch (error) {
    // An order that is over leaves authorizations behind that count against the account for days. They
    // cost one call each. Those of an order that lives on are needed when it is taken up again.
    if (error instanceof OrderError && OVER.has(error.code)) {
      const pending = authorizations.filter(({ status }) => status === 'pending');
      await Promise.allSettled(pending.map((each) => calls.deactivate(each)));
    }
    throw error;
  }
}

const OVER: ReadonlySet<string> = new Set(['ERR_ORDER_INVALID', 'ERR_ORDER_REFUSED']);

async function prove(
  calls: OrderCalls,
  authorizations: readonly AcmeAuthorization[],
  wish: Order,
): Promise<void> {
  for (const each of authorizations) judgeAuthorization(calls, each, wish);
  const pending = authorizations.filter(({ status }) => status !== 'valid');
  const open = await Promise.all(pending.map((each) => chooseProof(calls, each, wish)));
  const hides: Hide[] = [];
  try {
    await all(open.map(async (each) => hides.push(await show(calls, each, wish))));
    await all(open.map((each) => answer(calls, each, wish.signal)));
  } finally {
    await Promise.all(hides.map((hide) => within(hide(), calls.limits.hideMs)));
  }
}

/** We prove no name but those that we have ordered, whatever the authority asks for. */
function judgeAuthorization(
  calls: OrderCalls,
  authorization: AcmeAuthorization,
  wish: Order,
): void {
  const { hostname, wildcard, status, challenges } = authorization;
  const name = wildcard ? `*.${hostname}` : hostname;
  if (!wish.names.some((each) => each === name)) {
    throw new OrderError(
      'ERR_ORDER_INVALID',
      `${calls.name} asks for a proof of a name that was not ordered, and gets none.`,
    );
  }
  if (status === 'pending' || status === 'valid') return;
  const problem = challenges.find((each) => each.problem !== undefined)?.problem;
  throw invalidOrder(calls.name, `the proof for ${name}`, problem, hostname);
}

async function chooseProof(
  calls: OrderCalls,
  authorization: AcmeAuthorization,
  wish: Order,
): Promise<Open> {
  const { wildcard, challenges } = authorization;
  const hostname = parseHostname(authorization.hostname);
  const types = hostname === undefined ? [] : wish.prover.choose(hostname, wildcard);
  const found = types
    .map((type) => ({ type, challenge: challenges.find((each) => each.type === type) }))
    .find(({ challenge }) => challenge !== undefined);
  if (hostname === undefined || found?.challenge === undefined) {
    const offered = challenges.map(({ type }) => type).join(', ');
    throw unproven(
      authorization.hostname,
      `${calls.name} wants a proof by ${offered || 'nothing that is known'}, and only ` +
        `${types.join(', ') || 'none'} can be given.`,
    );
  }
  const { type, challenge } = found;
  const { token } = challenge;
  const keyAuthorization = await calls.keyAuthorization(token);
  const dnsValue = createHash('sha256').update(keyAuthorization).digest('base64url');
  const proof = { hostname, wildcard, type, token, keyAuthorization, dnsValue };
  return { authorization, challenge, proof };
}

/** A prover that comes too late is told to take its proof away as soon as it has shown it. */
async function show(calls: OrderCalls, { proof }: Open, wish: Order): Promise<Hide> {
  const deadline = AbortSignal.timeout(calls.limits.showMs);
  const stop = AbortSignal.any([wish.signal, deadline]);
  const shown = (async () => wish.prover.show(proof, stop))();
  try {
    return await settled(shown, stop);
  } catch (error) {
    shown.then((hide) => hide()).catch(() => undefined);
    if (wish.signal.aborted)
      throw new OrderError('ERR_ORDER_UNAVAILABLE', 'The order was stopped.');
    const why = error instanceof Error && !deadline.aborted ? error.message : 'it took too long.';
    throw unproven(proof.hostname, `The proof could not be shown (${proof.type}): ${why}`, error);
  }
}

async function answer(calls: OrderCalls, open: Open, signal: AbortSignal): Promise<void> {
  const { authorization, challenge, proof } = open;
  // One that was answered before a restart is being looked at, and must not be answered again.
  if (challenge.status === 'pending') await calls.answer(challenge);
  const name = `${proof.wildcard ? '*.' : ''}${proof.hostname}`;
  const decided = await waitUntil(
    () => calls.authorization(authorization.url),
    ({ status }) => status !== 'pending',
    {
      limits: calls.limits,
      signal,
      undecided: `${calls.name} has not decided on the proof for ${name}`,
    },
  );
  if (decided.status === 'valid') return;
  const problem = decided.challenges.find((each) => each.problem !== undefined)?.problem;
  throw invalidOrder(calls.name, `the proof for ${name}`, problem, proof.hostname);
}

function unproven(hostname: string, message: string, cause?: unknown): OrderError {
  return new OrderError('ERR_ORDER_PROOF', message, { hostname, cause });
}

/** Waits for all of them, also after one has failed: what they hold is taken away afterwards. */
async function all(works: readonly Promise<unknown>[]): Promise<void> {
  const failures = (await Promise.allSettled(works)).filter((each) => each.status === 'rejected');
  const reasons: readonly unknown[] = failures.map(({ reason }) => reason);
  if (reasons.length === 0) return;
  // That the order is dead matters more than that one call of it has failed.
  throw reasons.find((each) => each instanceof OrderError && OVER.has(each.code)) ?? reasons[0];
}

async function settled<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  stop.throwIfAborted();
  const stopped = Promise.withResolvers<never>();
  const listener = (): void => stopped.reject(stop.reason);
  stop.addEventListener('abort', listener, { once: true });
  return Promise.race([work, stopped.promise]).finally(() => {
    stop.removeEventListener('abort', listener);
  });
}

function within(work: Promise<void>, ms: number): Promise<void> {
  return settled(work, AbortSignal.timeout(ms)).catch(() => undefined);
}
