// Who is connected: the tunnels of each device, and which one takes the next visitor. A device key
// has one living instance; a newer one supersedes it with a higher epoch, so "name in use" does not
// exist and two copies of a key never answer side by side.
import type { Logger } from 'pino';
import type { Session } from './protocol/session.ts';
import { CLOSE } from './protocol/wire.ts';

export interface Tunnel {
  readonly thumbprint: string;
  /** Random per process of the device. */
  readonly instance: string;
  readonly slot: 0 | 1;
  readonly epoch: number;
  /** The version of the protocol that this tunnel speaks. */
  readonly protocol: number;
  readonly session: Session;
}

/** What the relay remembers of a device while it runs. */
interface Presence {
  readonly instance: string;
  readonly epoch: number;
  readonly tunnels: Set<Tunnel>;
  /** Instances that this one, or those before it, have superseded; the latest ones. */
  readonly superseded: ReadonlySet<string>;
  /** On the monotonic clock. */
  readonly claimedAtMs: number;
  /** Epoch milliseconds at which the last tunnel ended. */
  awaySinceMs: number | undefined;
}

export interface TunnelsOptions {
  readonly log: Logger;
  /** The next epoch of a device key, stored before it resolves. */
  readonly nextEpoch: (thumbprint: string) => Promise<number>;
  /** Whether a key is enrolled and not revoked, at this moment. */
  readonly admissible: (thumbprint: string) => boolean;
  /** A device has come or gone. */
  readonly changed: (thumbprint: string, connected: boolean) => void;
}

/** An older device would close its tunnel over a frame that it does not know. */
const NEWS_SINCE_PROTOCOL = 2;

/** What a device is told whose key is barred. */
export const REVOKED = 'revoked: this device key is no longer enrolled';

/** Streams up to which a tunnel is not spread over another. */
const FEW_STREAMS = 64;

export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #presences = new Map<string, Presence>();
  /** One change of epoch at a time per device. */
  readonly #claims = new Map<string, Promise<number | undefined>>();

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  /** Devices with at least one tunnel, and tunnels. */
  get counts(): { readonly devices: number; readonly tunnels: number; readonly streams: number } {
    let devices = 0;
    let tunnels = 0;
    let streams = 0;
    for (const presence of this.#presences.values()) {
      if (presence.tunnels.size > 0) devices += 1;
      tunnels += presence.tunnels.size;
      for (const { session } of presence.tunnels) streams += session.streamCount;
    }
    return { devices, tunnels, streams };
  }

  /** Of the tunnel to the farthest device; 0 before any was measured. */
  get longestRoundTripMs(): number {
    let longest = 0;
    for (const { session } of this.#all()) longest = Math.max(longest, session.roundTripMs ?? 0);
    return longest;
  }

  /**
   * The epoch of a device's instance. A new instance gets a higher one, and the tunnels of the old
   * one are closed. Undefined: the instance was superseded, and the newer one is here. Instances
   * that ask at the same time are judged one after the other.
   */
  claim(thumbprint: string, instance: string): Promise<number | undefined> {
    const before = this.#claims.get(thumbprint) ?? Promise.resolve(0);
    const claim = before.then(
      () => this.#claim(thumbprint, instance),
      () => this.#claim(thumbprint, instance),
    );
    this.#claims.set(thumbprint, claim);
    const done = (): void => {
      if (this.#claims.get(thumbprint) === claim) this.#claims.delete(thumbprint);
    };
    claim.then(done, done);
    return claim;
  }

  /** Takes up a tunnel, unless meanwhile a newer instance has come, or the key was revoked. */
  add(tunnel: Tunnel): 'added' | 'superseded' | 'revoked' {
    if (!this.#options.admissible(tunnel.thumbprint)) {
      // While its epoch was drawn, there was nobody to be expelled.
      this.expel([tunnel.thumbprint]);
      return 'revoked';
    }
    const presence = this.#presences.get(tunnel.thumbprint);
    if (presence === undefined || presence.epoch !== tunnel.epoch) return 'superseded';
    for (const older of [...presence.tunnels]) {
      // A draining tunnel is left to finish; any other in the same slot is dead and doesn't know.
      if (older.slot !== tunnel.slot || older.session.draining) continue;
      presence.tunnels.delete(older);
      older.session.close(CLOSE.done, 'done: replaced by a newer tunnel of the same device');
    }
    presence.tunnels.add(tunnel);
    presence.awaySinceMs = undefined;
    this.#options.changed(tunnel.thumbprint, true);
    return 'added';
  }

  remove(tunnel: Tunnel): void {
    const presence = this.#presences.get(tunnel.thumbprint);
    if (presence?.tunnels.delete(tunnel) !== true || presence.tunnels.size > 0) return;
    presence.awaySinceMs = Date.now();
    this.#options.changed(tunnel.thumbprint, false);
  }

  /**
   * The tunnel that takes the next stream: the one with the fewest, where a few count as none. Frames of
   * streams in one tunnel share messages; spread over two, the same load costs a tenth more CPU.
   */
  pick(thumbprint: string): Session | undefined {
    const presence = this.#presences.get(thumbprint);
    if (presence === undefined) return undefined;
    let best: Session | undefined;
    for (const { session } of presence.tunnels) {
      if (session.draining || session.ended) continue;
      if (best === undefined || load(session) < load(best)) best = session;
    }
    return best;
  }

  /** The devices that have a tunnel. */
  connected(): readonly string[] {
    return [...this.#presences].filter(([, { tunnels }]) => tunnels.size > 0).map(([key]) => key);
  }

  /** Sends news, made for its epoch, through all tunnels of a device that understand them. */
  tell(thumbprint: string, newsOf: (epoch: number) => Buffer): void {
    const presence = this.#presences.get(thumbprint);
    if (presence === undefined || presence.tunnels.size === 0) return;
    const news = newsOf(presence.epoch);
    for (const { session, protocol } of presence.tunnels) {
      if (protocol >= NEWS_SINCE_PROTOCOL) session.tell(news);
    }
  }

  isConnected(thumbprint: string): boolean {
    return (this.#presences.get(thumbprint)?.tunnels.size ?? 0) > 0;
  }

  /** When the device's last tunnel ended, as far as this process knows. */
  awaySinceMs(thumbprint: string): number | undefined {
    return this.#presences.get(thumbprint)?.awaySinceMs;
  }

  /** Closes all tunnels of keys that were revoked. `keys`: where to look, if it is known; it may be more. */
  expel(keys: Iterable<string> = this.#presences.keys()): void {
    for (const thumbprint of keys) {
      const presence = this.#presences.get(thumbprint);
      if (presence === undefined || this.#options.admissible(thumbprint)) continue;
      this.#presences.delete(thumbprint);
      for (const { session } of presence.tunnels) session.close(CLOSE.revoked, REVOKED);
    }
  }

  /** Asks all devices to connect elsewhere. */
  drain(ms: number): void {
    for (const { session } of this.#all()) session.drain(ms);
  }

  close(code: number, reason: string): void {
    for (const { session } of this.#all()) session.close(code, reason);
  }

  #all(): readonly Tunnel[] {
    return [...this.#presences.values()].flatMap((presence) => [...presence.tunnels]);
  }

  async #claim(thumbprint: string, instance: string): Promise<number | undefined> {
    const old = this.#presences.get(thumbprint);
    if (old?.instance === instance) return old.epoch;
    if (old !== undefined && isFenced(old, instance)) return undefined;
    const epoch = Math.max(await this.#options.nextEpoch(thumbprint), (old?.epoch ?? 0) + 1);
    const awaySinceMs = old?.awaySinceMs ?? Date.now();
    this.#presences.set(thumbprint, {
      instance,
      epoch,
      tunnels: new Set(),
      superseded: supersededBy(instance, old),
      claimedAtMs: performance.now(),
      awaySinceMs,
    });
    if (old !== undefined && old.tunnels.size > 0) {
      this.#options.log.warn(
        { device: thumbprint, epoch },
        'Another instance of this device key has taken over. If the owner did not restart or ' +
          'replace the device, its key was copied.',
      );
    }
    for (const { session } of old?.tunnels ?? []) {
      session.close(CLOSE.superseded, 'superseded: another instance of this key has connected');
    }
    return epoch;
  }
}

const PRESENCE_LIMITS = {
  /** Instances of one key that are remembered as superseded. Who has more copies has other worries. */
  supersededMax: 16,
  /** From its claim to its first tunnel an instance has no tunnel, and is here all the same. */
  arrivalMs: 10_000,
} as const;

/** A machine that slept through its supersession wakes up and connects: it may not take over in turn. */
function isFenced(presence: Presence, instance: string): boolean {
  if (!presence.superseded.has(instance)) return false;
  const arriving = performance.now() - presence.claimedAtMs < PRESENCE_LIMITS.arrivalMs;
  return presence.tunnels.size > 0 || arriving;
}

function supersededBy(instance: string, old: Presence | undefined): ReadonlySet<string> {
  if (old === undefined) return new Set();
  const all = [...old.superseded, old.instance].filter((other) => other !== instance);
  return new Set(all.slice(-PRESENCE_LIMITS.supersededMax));
}

function load(session: Session): number {
  return Math.max(FEW_STREAMS, session.streamCount);
}
