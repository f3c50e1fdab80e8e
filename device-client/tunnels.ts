// Holds a device's two tunnels: dials, waits, dials again, for as long as the device runs. A relay
// that drains is left for another connection first; its running streams finish on the old one.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { helloFailure } from '../relay/protocol/hello-failure.ts';
import { HelloError } from '../relay/protocol/hello-messages.ts';
import type { SigningKey } from '../relay/protocol/key.ts';
import type { OpenHeader } from '../relay/protocol/open.ts';
import type { Session, SessionEnd } from '../relay/protocol/session.ts';
import type { Stream } from '../relay/protocol/stream.ts';
import type { Welcome } from '../relay/protocol/welcome.ts';
import { CLOSE } from '../relay/protocol/wire.ts';
import type { YoungBuffers } from '../relay/protocol/young-buffers.ts';
import { BACK_OFF, BackOff } from './back-off.ts';
import type { Clock } from './clock.ts';
import { dialTunnel, type RelayAddress, type Tunnel } from './tunnel.ts';

export interface TunnelsOptions {
  readonly relay: RelayAddress;
  /** Asked for each attempt: it may be exchanged while the device runs. */
  readonly deviceKey: () => SigningKey;
  readonly instance: string;
  readonly software: string;
  readonly log: Logger;
  readonly youngBuffers: YoungBuffers;
  /** Learns the relay's time. */
  readonly clock?: Clock;
  readonly accept: (stream: Stream, header: OpenHeader) => void;
  /** The first tunnel has come up, or the last one is gone; `why` is for a person. */
  readonly changed: (connected: boolean, why: string) => void;
  /** What the relay says of this device's names: with each tunnel, and when it changes. */
  readonly told: (welcome: Welcome) => void;
  /**
   * The relay does not know the key, or not any more. True: it is worth to ask again at once; undefined:
   * nobody can say.
   */
  readonly disowned: () => Promise<boolean | undefined>;
}

const SLOTS = [0, 1] as const;
/** A drained tunnel may take its time to finish; the next one must be there before it is gone. */
const DRAIN_JITTER_MS = 500;
/** Software that is refused: only an update helps, which starts the device anew. */
const REFUSED_SOFTWARE_RETRY_MS = 900_000;
/** Running streams may finish when the device is stopped. */
const STOP_TIMEOUT_MS = 10_000;

/** What a tunnel came to: it ended, or the relay told us to leave it. */
type Outcome = { readonly kind: 'ended'; readonly end: SessionEnd } | { readonly kind: 'drained' };

export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #sessions = new Set<Session>();
  readonly #stopped = new AbortController();
  /** The end of the first attempt. */
  readonly #first = Promise.withResolvers<void>();
  /** The first attempt is over: from now on everything is waited for. */
  #started = false;
  /**
   * Why this device stays away, for a person: another copy of its key has taken over, and connecting
   * again would only take the name back and forth; or the key was revoked, which is for ever.
   */
  #banned: string | undefined;
  /** What was said last about a relay that does not take this device: said once, not at each attempt. */
  #complaint: string | undefined;
  /** When each slot last connected again at once. */
  readonly #againAtMs: [number, number] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /**
   * Starts both tunnels. Resolves when the first attempt is over, be it up or not, since a relay that
   * is away is waited for. Rejects with HelloError when the relay refuses this device, or is not the
   * vendor's: that only a person can change.
   */
  start(): Promise<void> {
    for (const slot of SLOTS) void this.#keep(slot);
    return this.#first.promise;
  }

  /** Lets running streams finish, for a while, and closes the tunnels. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const session of this.#sessions) session.drain(STOP_TIMEOUT_MS);
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (performance.now() < deadline && this.#busy()) await delay(50);
    for (const session of [...this.#sessions]) session.close(CLOSE.done, 'done: the device stops');
  }

  #busy(): boolean {
    return [...this.#sessions].some((session) => session.streamCount > 0);
  }

  async #keep(slot: 0 | 1): Promise<void> {
    const { log } = this.#options;
    const backOff = new BackOff();
    const { signal } = this.#stopped;
    while (!signal.aborted && this.#banned === undefined) {
      const waitMs = await this.#hold(slot, backOff);
      if (signal.aborted || waitMs === undefined || this.#banned !== undefined) return;
      log.info({ slot, waitMs: Math.round(waitMs) }, 'tunnel: connecting again');
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One tunnel, from dialling to its end. Resolves with the wait before the next one, if there is one. */
  async #hold(slot: 0 | 1, backOff: BackOff): Promise<number | undefined> {
    const { log } = this.#options;
    const over = Promise.withResolvers<Outcome>();
    const key = this.#options.deviceKey();
    let upAtMs: number;
    try {
      const tunnel = await this.#dial(slot, key, over.resolve);
      upAtMs = performance.now();
      this.#complaint = undefined;
      this.#options.changed(true, '');
      this.#begun();
      if (tunnel.clockFault !== undefined)
        log.warn({ slot }, `${tunnel.clockFault} ${CLOCK_WORDS}`);
      log.info({ slot, epoch: tunnel.welcome.epoch, names: tunnel.welcome.names }, 'tunnel: up');
      this.#options.told(tunnel.welcome);
    } catch (error) {
      return this.#refused(slot, error, { key, backOff });
    }
    const outcome = await over.promise;
    // Counted from here: the time that a dial into the void takes is no success.
    backOff.lived(performance.now() - upAtMs);
    if (outcome.kind === 'drained') {
      log.info({ slot }, 'tunnel: the relay is about to stop, connecting elsewhere');
      return Math.random() * DRAIN_JITTER_MS;
    }
    if (outcome.end.code === CLOSE.revoked) {
      const known = await this.#isOtherwiseKnown(key);
      if (known === true) return this.#again(slot, backOff);
      // It may be that the key is only another one now: that is for the next attempt to find out.
      if (known === undefined) return backOff.next();
    }
    this.#ended(slot, outcome.end);
    return backOff.next();
  }

  async #dial(
    slot: 0 | 1,
    deviceKey: SigningKey,
    over: (outcome: Outcome) => void,
  ): Promise<Tunnel> {
    const { relay, instance, software, youngBuffers, accept, told, clock } = this.#options;
    const tunnel: Tunnel = await dialTunnel({
      relay,
      deviceKey,
      instance,
      slot,
      software,
      youngBuffers,
      ...(clock === undefined ? {} : { clock }),
      accept,
      news: told,
      drained: () => over({ kind: 'drained' }),
      faulted: (error) => this.#options.log.error({ err: error }, 'a stream failed'),
      ended: (end) => {
        this.#forgetEnded();
        over({ kind: 'ended', end });
      },
    });
    this.#sessions.add(tunnel.session);
    this.#forgetEnded();
    return tunnel;
  }

  #forgetEnded(): void {
    for (const session of this.#sessions) if (session.ended) this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    this.#options.changed(false, this.#banned ?? 'No tunnel to the relay is up.');
  }

  #begun(): void {
    this.#started = true;
    this.#first.resolve();
  }

  /** Resolves as `#hold` does. */
  async #refused(
    slot: 0 | 1,
    error: unknown,
    { key, backOff }: { readonly key: SigningKey; readonly backOff: BackOff },
  ): Promise<number | undefined> {
    if (!(error instanceof HelloError)) throw error;
    const { code, message } = error;
    if (code === 'ERR_HELLO_SUPERSEDED') {
      this.#ban(slot, message);
      return undefined;
    }
    if (code === 'ERR_HELLO_UNKNOWN_DEVICE' && (await this.#isOtherwiseKnown(key)) === true) {
      return this.#again(slot, backOff);
    }
    if (!this.#started && isVerdict(code)) {
      this.#options.log.warn({ slot, code }, message);
      this.#first.reject(error);
      return undefined;
    }
    this.#complain(slot, code, message);
    if (this.#sessions.size === 0) this.#options.changed(false, message);
    this.#begun();
    if (code !== 'ERR_HELLO_SOFTWARE') return backOff.next();
    return REFUSED_SOFTWARE_RETRY_MS * (1 + Math.random());
  }

  #complain(slot: 0 | 1, code: string, message: string): void {
    const known = PATIENT.has(code) && this.#complaint === message;
    this.#complaint = message;
    this.#options.log[known ? 'debug' : 'warn']({ slot, code }, message);
  }

  /** The relay does not know the key: whether it knows this device by now, by another one perhaps. */
  async #isOtherwiseKnown(key: SigningKey): Promise<boolean | undefined> {
    return this.#options.deviceKey() !== key || (await this.#options.disowned());
  }

  /** At once, unless that has led nowhere a moment ago. */
  #again(slot: 0 | 1, backOff: BackOff): number {
    const nowMs = performance.now();
    const lately = nowMs - this.#againAtMs[slot] < BACK_OFF.stableMs;
    this.#againAtMs[slot] = nowMs;
    return lately ? backOff.next() : 0;
  }

  #ended(slot: 0 | 1, end: SessionEnd): void {
    const why = BANS[end.code];
    if (why === undefined) this.#options.log.warn({ slot, ...end }, 'tunnel: ended');
    else this.#ban(slot, why);
  }

  #ban(slot: 0 | 1, why: string): void {
    this.#begun();
    if (this.#banned !== undefined) return;
    this.#banned = why;
    this.#options.log.error({ slot }, why);
    this.#options.changed(false, why);
  }
}

const CLOCK_WORDS =
  'The relay has proven itself by the key of the vendor, so the tunnel is up all the same. Set the ' +
  'clock of this device; if it is right, the vendor should renew the certificate.';

/** Closes after which a device stays away (PROTOCOL.md, section 10), and what its owner is told. */
const BANS: Readonly<Record<number, string>> = {
  [CLOSE.superseded]: helloFailure('ERR_HELLO_SUPERSEDED', 'proof').message,
  [CLOSE.revoked]:
    'The vendor has revoked the key of this device, for ever. If that was not wanted, make a new ' +
    'key: move the key file away, start the device again, and have the key that it shows enrolled.',
};

/** What somebody else changes while this device runs: its owner claims a name, or updates it. */
const PATIENT: ReadonlySet<string> = new Set(['ERR_HELLO_UNKNOWN_DEVICE', 'ERR_HELLO_SOFTWARE']);

const TEMPORARY: ReadonlySet<string> = new Set([
  'ERR_HELLO_TIMEOUT',
  'ERR_HELLO_EXPIRED',
  'ERR_HELLO_CLOSED',
]);

/** The relay has judged, or was judged: waiting alone will not change it. */
function isVerdict(code: string): boolean {
  return code.startsWith('ERR_HELLO_') && !TEMPORARY.has(code) && !PATIENT.has(code);
}
