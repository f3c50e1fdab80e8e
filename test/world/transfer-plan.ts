// A transfer that chance has planned: what goes each way over one visit, how fast, and who breaks it
// off. The plan travels in the request's path, so that the workspace knows its part.
import type { SeededRandom } from './random.ts';

/**
 * swap: all is read, then answered · echo: what comes goes back · early: answered without being read ·
 * torn: the workspace breaks off in the middle of the answer · mute: it never answers, and the visitor
 * goes away
 */
export type TransferKind = 'swap' | 'echo' | 'early' | 'torn' | 'mute';

export interface TransferPlan {
  readonly id: number;
  readonly kind: TransferKind;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly status: 200 | 204 | 304;
  readonly up: number;
  /** Without a Content-Length. */
  readonly upChunked: boolean;
  readonly expectContinue: boolean;
  readonly down: number;
  readonly framing: 'sized' | 'chunked' | 'close';
  /** 103 before the answer, trailers after it (if it has chunks). */
  readonly extras: boolean;
  readonly pieceBytes: number;
  /** Pauses after each piece. */
  readonly workspaceMs: number;
  readonly visitorMs: number;
  /** The visitor goes away when so much has passed, in both directions together. */
  readonly leaveAfter: number | undefined;
}

const BYTES_MAX = 1_000_000;
const PAUSES_MS = [0, 0, 0, 1, 4] as const;
const KINDS = ['swap', 'swap', 'swap', 'swap', 'echo', 'echo', 'early', 'torn', 'mute'] as const;

export function planTransfer(id: number, random: SeededRandom): TransferPlan {
  const kind = pick(random, KINDS);
  const bodiless = kind === 'swap' && random.chance(0.6);
  const up = bodiless ? 0 : size(random);
  const down = kind === 'echo' ? up : size(random);
  const status = kind === 'swap' && random.chance(0.1) ? pick(random, [204, 304] as const) : 200;
  const leaves = kind === 'mute' || random.chance(0.1);
  const framing = kind === 'torn' ? 'sized' : pick(random, ['sized', 'chunked', 'close'] as const);
  return {
    id,
    kind,
    method: bodiless ? pick(random, ['GET', 'GET', 'HEAD'] as const) : 'POST',
    status,
    up,
    upChunked: random.chance(0.5),
    expectContinue: !bodiless && random.chance(0.1),
    down: kind === 'torn' ? down + 2 : down,
    framing: kind === 'echo' ? 'chunked' : framing,
    extras: random.chance(0.2),
    // A hundred pieces at most, or the pauses between them would be all that is tested.
    pieceBytes:
      Math.ceil(Math.max(up, down) / 100) + 1 + random.below(random.chance(0.2) ? 300_000 : 50_000),
    workspaceMs: pick(random, PAUSES_MS),
    visitorMs: pick(random, PAUSES_MS),
    leaveAfter: leaves ? random.below(kind === 'mute' ? up + 1 : up + down + 1) : undefined,
  };
}

function pick<Item>(random: SeededRandom, items: readonly [Item, ...Item[]]): Item {
  return items[random.below(items.length)] ?? items[0];
}

/** Mostly small, sometimes nothing, sometimes far more than a window. */
function size(random: SeededRandom): number {
  if (random.chance(0.1)) return 0;
  return random.below(random.chance(0.6) ? 30_000 : BYTES_MAX);
}

/** A prime, so that a piece that is lost or repeated shows. */
const PERIOD = 251;
const PATTERN = Buffer.alloc(
  BYTES_MAX + PERIOD,
  Buffer.from(Array.from({ length: PERIOD }, (_, at) => at)),
);

/** Bytes of the pattern from an offset; each transfer begins it elsewhere. */
function bytesOf(plan: TransferPlan, from: number, length: number): Buffer {
  const at = (plan.id + from) % PERIOD;
  return PATTERN.subarray(at, at + length);
}

/** Counts what arrives, and sees whether it is what was sent. */
export class Received {
  bytes = 0;
  right = true;
  readonly #plan: TransferPlan;

  constructor(plan: TransferPlan) {
    this.#plan = plan;
  }

  take(bytes: Buffer): void {
    this.right &&= bytes.equals(bytesOf(this.#plan, this.bytes, bytes.length));
    this.bytes += bytes.length;
  }
}

/** What both ends write with. */
interface Outlet {
  write(bytes: Buffer): boolean;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  readonly destroyed: boolean;
  /** Of HTTP/2: the other side has reset the stream. */
  readonly aborted?: boolean;
}

/** Writes the pattern piece by piece, as far as there is room. */
export async function sendPattern(
  outlet: Outlet,
  plan: TransferPlan,
  { bytes, pauseMs }: { readonly bytes: number; readonly pauseMs: number },
  sent: (bytes: number) => void = () => undefined,
): Promise<void> {
  for (let at = 0; at < bytes && !outlet.destroyed && outlet.aborted !== true; ) {
    const length = Math.min(plan.pieceBytes, bytes - at);
    const room = outlet.write(bytesOf(plan, at, length));
    at += length;
    sent(length);
    if (!room && !outlet.destroyed) await roomIn(outlet);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

export function roomIn(outlet: Outlet): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'aborted'] as const;
    const done = (): void => {
      for (const event of events) outlet.off(event, done);
      resolve();
    };
    for (const event of events) outlet.once(event, done);
  });
}
