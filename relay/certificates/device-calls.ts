// Which devices are to ask at once when their certificates are to be renewed, since that has changed: a
// person wants another one, a new owner has the device, or its authority is about to revoke it. Whichever
// relay has found out notes it in the registry, and each tells the devices that have a tunnel to it. It is
// a hint, given for a day: a device that misses it asks by itself about once a day.
import type { Logger } from 'pino';
import { type DeviceName, type Hostname, parseDeviceName } from '../../dns/name.ts';
import {
  CALLED_LIMITS,
  type CalledDevice,
  calledAfter,
} from '../registry/certificates/called-devices.ts';
import type { Registry } from '../registry/registry.ts';

const CALL_LIMITS = {
  /** How late a relay hears of what another one has found out. */
  lookMs: 5_000,
  /** After that the device has asked by itself, or is away for longer. */
  rememberedMs: 86_400_000,
  /** Clocks of relays differ by seconds: what was noted so long before a look is looked at again. */
  overlapMs: 60_000,
  /** Devices that are remembered; the earliest give way, and ask by themselves. */
  devicesMax: 100_000,
} as const;

export interface DeviceCallsOptions {
  readonly registry: Pick<Registry, 'read'>;
  readonly zone: Hostname;
  readonly log: Logger;
  readonly now: () => number;
}

export class DeviceCalls {
  readonly #options: DeviceCallsOptions;
  /** By thumbprint: the names, and when each was called for. The earliest calls come first. */
  readonly #called = new Map<string, Map<DeviceName, number>>();
  readonly #listeners = new Set<(thumbprint: string) => void>();
  /** When the last look began that has come to its end. */
  #lookedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: DeviceCallsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#lookedMs = this.#options.now() - CALL_LIMITS.rememberedMs;
    this.#timer = setInterval(() => void this.look(), CALL_LIMITS.lookMs).unref();
    void this.look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Names of this device that it is to ask for. */
  of(thumbprint: string): readonly DeviceName[] {
    const afterMs = this.#options.now() - CALL_LIMITS.rememberedMs;
    const names = this.#called.get(thumbprint) ?? [];
    return [...names].filter(([, atMs]) => atMs > afterMs).map(([name]) => name);
  }

  /** Told of each device that is called. */
  onCall(listener: (thumbprint: string) => void): void {
    this.#listeners.add(listener);
  }

  /** Looks now instead of soon. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        this.#options.log.debug({ err: error }, 'called devices: the registry cannot be asked');
      })
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { registry, now } = this.#options;
    const lookedMs = now();
    let sinceMs = this.#lookedMs - CALL_LIMITS.overlapMs;
    for (let more = true; more && !this.#stopped; ) {
      const rows = await registry.read(calledAfter(sinceMs));
      for (const row of rows) this.#note(row);
      sinceMs = rows.at(-1)?.atMs ?? sinceMs;
      more = rows.length === CALLED_LIMITS.rowsMax;
    }
    // Not the newest of them: noted by a clock that is far ahead, it would hide all others.
    this.#lookedMs = lookedMs;
    this.#forgetOld();
  }

  #note({ thumbprint, subject, atMs }: CalledDevice): void {
    const { zone } = this.#options;
    const suffix = `.${zone}`;
    const name = subject.endsWith(suffix)
      ? parseDeviceName(subject.slice(0, -suffix.length))
      : undefined;
    const before = this.#called.get(thumbprint);
    if (name === undefined || before?.get(name) === atMs) return;
    this.#called.delete(thumbprint);
    this.#called.set(thumbprint, new Map([...(before ?? []), [name, atMs]]));
    for (const listener of this.#listeners) listener(thumbprint);
  }

  #forgetOld(): void {
    for (const thumbprint of this.#called.keys()) {
      const full = this.#called.size > CALL_LIMITS.devicesMax;
      if (!full && this.of(thumbprint).length > 0) return;
      this.#called.delete(thumbprint);
    }
  }
}
