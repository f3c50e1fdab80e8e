// One order from wherever it stands to its chain (RFC 8555, section 7.1.6): made or taken up again, proven,
// finalized, waited for, downloaded and judged. A crash between any two steps loses nothing: the URL is
// kept by the caller before anything else is done, and the status tells the rest.
import type { AcmeOrder } from './acme-answer.ts';
import { invalidOrder, PROBLEM } from './acme-problem.ts';
import { judgeChain, rootName } from './chain.ts';
import { csrPublicKey } from './csr.ts';
import type { Order } from './order.ts';
import type { OrderCalls } from './order-calls.ts';
import { OrderError } from './order-error.ts';
import { proveNames } from './order-proofs.ts';
import { waitUntil } from './order-wait.ts';

/** From pending to valid there are four steps; an authority that goes round in circles is left. */
const STEPS_MAX = 8;

export interface Preference {
  /** Common name of the root that the chain shall lead to. */
  readonly root: string | undefined;
}

export async function walkOrder(
  calls: OrderCalls,
  wish: Order,
  preference: Preference,
): Promise<{ chainPem: string; url: string }> {
  let order = wish.url === undefined ? await begin(calls, wish) : await takeUp(calls, wish.url);
  const wanted = [...wish.names].sort().join();
  if (order.names.join() !== wanted) {
    const message = `The order at ${calls.name} is not for ${wish.names.join(', ')}. Another is begun.`;
    throw new OrderError('ERR_ORDER_INVALID', message);
  }
  for (let step = 0; step < STEPS_MAX; step += 1) {
    if (order.status === 'valid') {
      return { chainPem: await download(calls, order, { wish, preference }), url: order.url };
    }
    order = await advance(calls, order, wish);
  }
  const message = `The order at ${calls.name} does not come to an end. Another is begun.`;
  throw new OrderError('ERR_ORDER_INVALID', message);
}

async function begin(calls: OrderCalls, wish: Order): Promise<AcmeOrder> {
  const order = await create(calls, wish);
  await wish.begun(order.url);
  return order;
}

/**
 * What is to be replaced is a wish. An authority that has replaced it already (RFC 9773, section 5), or
 * dislikes it for any other reason of its own, may still sign without it.
 */
async function create(calls: OrderCalls, { names, replaces, asNew }: Order): Promise<AcmeOrder> {
  if (replaces === undefined) return calls.create(names, undefined);
  try {
    return await calls.create(names, replaces);
  } catch (error) {
    if (!(error instanceof OrderError) || !isAboutWish(error)) throw error;
    await asNew?.();
    return calls.create(names, undefined);
  }
}

/** An authority may take what it cannot find for a fault of its own, and does so whenever it is asked. */
function isAboutWish({ code, status, problem }: OrderError): boolean {
  return code === 'ERR_ORDER_REFUSED' || (status === 500 && problem === `${PROBLEM}serverInternal`);
}

async function takeUp(calls: OrderCalls, url: string): Promise<AcmeOrder> {
  try {
    return (await calls.order(url)).value;
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    const gone = error.code === 'ERR_ORDER_REFUSED' || GONE.has(error.status ?? 0);
    if (!gone) throw error;
    const message = `${calls.name} does not know the order any more. Another is begun.`;
    throw new OrderError('ERR_ORDER_INVALID', message, { cause: error, problem: error.problem });
  }
}

const GONE: ReadonlySet<number> = new Set([404, 410]);

async function advance(calls: OrderCalls, order: AcmeOrder, wish: Order): Promise<AcmeOrder> {
  const names = wish.names.join(', ');
  switch (order.status) {
    case 'pending':
      await proveNames(calls, order, wish);
      return leave('pending', calls, order, wish);
    case 'ready':
      return finalize(calls, order, wish.csr);
    case 'processing':
      return leave('processing', calls, order, wish);
    case 'invalid':
      throw invalidOrder(calls.name, `the order for ${names}`, order.problem);
    case 'valid':
      return order;
  }
}

function leave(
  status: AcmeOrder['status'],
  calls: OrderCalls,
  order: AcmeOrder,
  { signal, names }: Order,
): Promise<AcmeOrder> {
  return waitUntil(
    () => calls.order(order.url),
    (seen) => seen.status !== status,
    {
      limits: calls.limits,
      signal,
      undecided: `${calls.name} has not finished the order for ${names.join(', ')}`,
    },
  );
}

async function finalize(calls: OrderCalls, order: AcmeOrder, csr: Buffer): Promise<AcmeOrder> {
  try {
    return await calls.finalize(order, csr);
  } catch (error) {
    // Somebody else was faster, or an authority's own copies of the order differ for a moment.
    if (!(error instanceof OrderError) || error.problem !== `${PROBLEM}orderNotReady`) throw error;
    return (await calls.order(order.url)).value;
  }
}

async function download(
  calls: OrderCalls,
  order: AcmeOrder,
  { wish, preference }: { wish: Order; preference: Preference },
): Promise<string> {
  const chains = await calls.chains(order);
  const { names } = wish;
  const publicKeyDer = csrPublicKey(wish.csr);
  const judged = chains.map((chainPem) => ({
    chainPem,
    fault: judgeChain(chainPem, { names, publicKeyDer }),
  }));
  const good = judged.filter(({ fault }) => fault === undefined);
  const preferred = good.find(({ chainPem }) => rootName(chainPem) === preference.root);
  const chosen = preferred ?? good[0];
  if (chosen !== undefined) return chosen.chainPem;
  const fault = judged[0]?.fault ?? 'Nothing came.';
  const message = `${calls.name} delivered what cannot be served for ${names.join(', ')}. ${fault}`;
  throw new OrderError('ERR_ORDER_CHAIN', message);
}
