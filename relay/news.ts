// What connected devices are told when their names change, when a new key begins or ceases to wait for
// one, or when they are to ask about a certificate: news through their tunnels, not too often, and always the present state.
import type { Logger } from 'pino';
import { type DeviceName, type Hostname, parseDeviceName } from '../dns/name.ts';
import { LIMITS } from './protocol/limits.ts';
import { encodeWelcome, type Welcome } from './protocol/welcome.ts';
import { dueMs } from './registry/recovery-due.ts';
import type { RegistrySnapshot } from './registry/snapshot.ts';
import type { Tunnels } from './tunnels.ts';

export interface NewsOptions {
  readonly zone: Hostname;
  readonly tunnels: Pick<Tunnels, 'connected' | 'isConnected' | 'tell'>;
  /** The present one. */
  readonly snapshot: () => RegistrySnapshot;
  /** Names of a device whose certificate it is to ask about. */
  readonly renewalsOf: (thumbprint: string) => readonly DeviceName[];
  readonly log: Logger;
}

export class News {
  readonly #options: NewsOptions;
  /** Devices that were told a moment ago: whether there is more to tell, and the end of the moment. */
  readonly #resting = new Map<string, { more: boolean; readonly timer: NodeJS.Timeout }>();

  constructor(options: NewsOptions) {
    this.#options = options;
  }

  /** To be called after every exchange of the snapshot. `names`: those that changed, if that is known. */
  readonly changed = (
    snapshot: RegistrySnapshot,
    before: RegistrySnapshot,
    names: ReadonlySet<string> | undefined,
  ): void => {
    const { tunnels } = this.#options;
    const concerned = names && concernedBy(names, [before, snapshot]);
    for (const thumbprint of concerned ?? tunnels.connected()) {
      if (!isSame(thumbprint, snapshot, before)) this.tell(thumbprint);
    }
  };

  /** Something else has changed that a device is told. */
  tell(thumbprint: string): void {
    const resting = this.#resting.get(thumbprint);
    if (resting === undefined) this.#tell(thumbprint);
    else resting.more = true;
  }

  stop(): void {
    for (const { timer } of this.#resting.values()) clearTimeout(timer);
    this.#resting.clear();
  }

  #tell(thumbprint: string): void {
    const { tunnels, zone, snapshot, renewalsOf, log } = this.#options;
    if (!tunnels.isConnected(thumbprint)) return;
    const timer = setTimeout(() => this.#rested(thumbprint), LIMITS.newsEveryMs).unref();
    this.#resting.set(thumbprint, { more: false, timer });
    try {
      tunnels.tell(thumbprint, (epoch) =>
        encodeWelcome({
          epoch,
          ...standingOf(thumbprint, snapshot(), { zone, renewals: renewalsOf(thumbprint) }),
        }),
      );
    } catch (error) {
      log.error({ err: error, device: thumbprint }, 'a device could not be told about its names');
    }
  }

  #rested(thumbprint: string): void {
    const more = this.#resting.get(thumbprint)?.more === true;
    this.#resting.delete(thumbprint);
    if (more) this.#tell(thumbprint);
  }
}

/** What a device is told of its names, in the welcome and in news. */
export function standingOf(
  thumbprint: string,
  snapshot: RegistrySnapshot,
  { zone, renewals }: { readonly zone: Hostname; readonly renewals: readonly DeviceName[] },
): Omit<Welcome, 'epoch'> {
  const nowMs = Date.now();
  const recoveries = snapshot.recoveriesAgainst(thumbprint).map((each) => ({
    ...{ id: each.id, name: each.name, dueAt: new Date(dueMs(each, nowMs)).toISOString() },
    ...(each.waitsForMail ? { waitsForMail: true as const } : {}),
  }));
  const names = snapshot.namesOf(thumbprint);
  return { names, zone, recoveries, renewals: renewals.filter((name) => names.includes(name)) };
}

/** Whoever has one of these names, or had it: a recovery is against one of them as well. */
function concernedBy(
  names: ReadonlySet<string>,
  snapshots: readonly RegistrySnapshot[],
): ReadonlySet<string> {
  const concerned = new Set<string>();
  for (const text of names) {
    const name = parseDeviceName(text);
    if (name === undefined) continue;
    for (const snapshot of snapshots) {
      const device = snapshot.deviceOf(name);
      if (device !== undefined) concerned.add(device.thumbprint);
    }
  }
  return concerned;
}

function isSame(thumbprint: string, now: RegistrySnapshot, before: RegistrySnapshot): boolean {
  const names = [before, now].map((each) => each.namesOf(thumbprint).join());
  const waiting = [before, now].map((each) => each.recoveriesAgainst(thumbprint));
  if (names[0] !== names[1]) return false;
  const told = waiting.map((each) =>
    each.map(({ id, dueAtMs, waitsForMail }) => `${id} ${dueAtMs} ${waitsForMail}`).join(),
  );
  return told[0] === told[1];
}
