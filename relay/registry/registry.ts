// Who owns which name: a file for the truth, a snapshot in memory for the data path. Several processes
// (relays, the command line) may have the file open; each sees the others' changes within a second.
//
// Fail-static: whatever happens to the file, the last good snapshot goes on serving, and a fault is
// logged when it begins and when it ends. What a promise of ours has acknowledged is on the disk, but
// for epochs during a fault (see `nextEpoch`) and `markSeen`.
import type { Logger } from 'pino';
import type { DeviceName } from '../../dns/name.ts';
import { RegistryDatabase, type RegistryWork } from './database.ts';
import { type Enrolment, type EnrolOutcome, enrolIn, releaseIn, revokeIn } from './deeds.ts';
import { EpochCounter } from './epoch-counter.ts';
import { readAfter, readSnapshot } from './reader.ts';
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';
import { SightingLog } from './sighting-log.ts';
import type { RegistrySnapshot } from './snapshot.ts';

export const REGISTRY_LIMITS = {
  /** Changes by another process are to be seen within a second. */
  pollMs: 500,
  /** Changes that wait for the file; more means that it does not keep up. */
  writesMax: 10_000,
  /** When devices were last seen is written in one go; a relay that dies forgets no more than this. */
  sightingsFlushMs: 5_000,
  /** As long as a certificate of ours can live (authority.ts), so nobody can imitate the next owner. */
  quarantineMs: 90 * 86_400_000,
} as const;

export type RegistryLimits = Readonly<Record<keyof typeof REGISTRY_LIMITS, number>>;

export interface RegistryOptions {
  readonly file: string;
  readonly log: Logger;
  readonly limits?: Partial<RegistryLimits>;
}

export type SnapshotListener = (snapshot: RegistrySnapshot, before: RegistrySnapshot) => void;

/** Opens the registry; made if absent. Rejects when the file cannot be used: there is no last good. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const database = await RegistryDatabase.open(options.file, { create: true });
  const version = database.version();
  const snapshot = await database.read(readSnapshot);
  return new Registry(options, database, { snapshot, version });
}

export class Registry {
  readonly #log: Logger;
  readonly #limits: RegistryLimits;
  readonly #epochs: EpochCounter;
  readonly #sightings: SightingLog;
  readonly #listeners = new Set<SnapshotListener>();
  readonly #timers: readonly NodeJS.Timeout[];
  #database: RegistryDatabase;
  #snapshot: RegistrySnapshot;
  #version: number;
  #writes = 0;
  #faults: Readonly<Record<FaultKind, RegistryError | undefined>> = {
    read: undefined,
    write: undefined,
  };
  #polling: Promise<void> | undefined;
  #closed = false;

  /** Use `openRegistry`. */
  constructor(
    { log, limits }: RegistryOptions,
    database: RegistryDatabase,
    first: { readonly snapshot: RegistrySnapshot; readonly version: number },
  ) {
    this.#log = log;
    this.#limits = { ...REGISTRY_LIMITS, ...limits };
    this.#database = database;
    this.#snapshot = first.snapshot;
    this.#version = first.version;
    this.#epochs = new EpochCounter((work, waitMs) => this.#write(work, waitMs));
    this.#sightings = new SightingLog((work, waitMs) => this.#write(work, waitMs));
    this.#timers = [
      setInterval(() => void this.poll(), this.#limits.pollMs).unref(),
      setInterval(() => void this.#sightings.flush(), this.#limits.sightingsFlushMs).unref(),
    ];
  }

  /** The last good one. Take it anew for every question; it is exchanged as a whole. */
  get snapshot(): RegistrySnapshot {
    return this.#snapshot;
  }

  /** Why the file cannot be used at present, for readiness and metrics. */
  get fault(): RegistryError | undefined {
    return this.#faults.read ?? this.#faults.write;
  }

  /** Calls back after every exchange of the snapshot; the result ends that. */
  onChange(listener: SnapshotListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives a free name to a key. The same key again changes nothing. */
  enroll(enrolment: Enrolment): Promise<EnrolOutcome> {
    const { quarantineMs } = this.#limits;
    return this.#deed((db) => enrolIn(db, enrolment, { nowMs: Date.now(), quarantineMs }));
  }

  /** Takes a name from its key; nobody else gets it before its quarantine is over. */
  release(deed: { readonly name: DeviceName; readonly actor: string }): Promise<void> {
    return this.#deed((db) => releaseIn(db, deed, Date.now()));
  }

  /** Bars a key for ever. Its names stay with it until they are released or replaced. */
  revoke(deed: { readonly thumbprint: string; readonly actor: string }): Promise<void> {
    return this.#deed((db) => revokeIn(db, deed, Date.now()));
  }

  /**
   * A number greater than all before it for this key. While the file cannot be written, it is drawn
   * from memory, so that devices can come back; two processes may then draw the same one.
   */
  nextEpoch(thumbprint: string): Promise<number> {
    return this.#epochs.next(thumbprint, this.#snapshot.admissible(thumbprint) !== undefined);
  }

  /** Notes that a device is there. Written later; a crash loses up to five seconds of it. */
  markSeen(thumbprint: string, atMs: number): void {
    if (this.#snapshot.admissible(thumbprint) !== undefined) this.#sightings.mark(thumbprint, atMs);
  }

  /** When a device was last seen, by any relay. `undefined`: never, or the file cannot tell. */
  lastSeenMs(thumbprint: string): Promise<number | undefined> {
    return this.#sightings.lastMs(thumbprint, (work) => this.#database.read(work));
  }

  /** Looks at the file now instead of within a second. Never rejects; see `fault`. */
  poll(): Promise<void> {
    this.#polling ??= this.#look().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  /** Writes what is still in memory and lets go of the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#sightings.flush();
    this.#closed = true;
    await this.#polling;
    this.#database.close();
  }

  async #deed<Value>(work: RegistryWork<Value>): Promise<Value> {
    const value = await this.#write(work);
    // The deed is done, whether or not it can be read back now; the next look tries again.
    await this.#refresh().catch((error: unknown) => this.#begin('read', error));
    return value;
  }

  async #write<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value> {
    if (this.#closed) throw new RegistryError('ERR_REGISTRY_CLOSED', 'The registry is closed.');
    if (this.#faults.read?.code === 'ERR_REGISTRY_SHRUNK') throw this.#faults.read;
    if (this.#writes >= this.#limits.writesMax) {
      const message = 'Too many changes of the registry wait already. Try again later.';
      throw new RegistryError('ERR_REGISTRY_BUSY', message);
    }
    this.#writes += 1;
    try {
      const value = await this.#database.write(work, this.fault === undefined ? waitMs : 0);
      this.#end('write');
      return value;
    } catch (error) {
      if (error instanceof RegistryError && error.code.startsWith('ERR_REGISTRY_')) {
        this.#begin('write', error);
      }
      throw error;
    } finally {
      this.#writes -= 1;
    }
  }

  async #look(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#reopenIfNeeded();
      const version = this.#database.version();
      if (version !== this.#version || this.#faults.read !== undefined) await this.#refresh();
      this.#version = version;
    } catch (error) {
      this.#begin('read', error);
      return;
    }
    if (this.#faults.write !== undefined) this.#probe();
  }

  #probe(): void {
    try {
      this.#database.probe();
      this.#end('write');
    } catch (error) {
      this.#begin('write', error);
    }
  }

  /** A connection that failed once, or whose file was exchanged, is not trusted again. */
  async #reopenIfNeeded(): Promise<void> {
    const code = this.#faults.read?.code;
    if ((code === undefined || HARMLESS.has(code)) && this.#database.inPlace) return;
    const database = await RegistryDatabase.open(this.#database.file, { create: false });
    if (this.#closed) {
      database.close();
      return;
    }
    this.#database.close();
    this.#database = database;
    // No version is negative: whatever the new connection says, the snapshot is read again.
    this.#version = -1;
  }

  /** Exchanges the snapshot if the file has another one that can be believed. */
  async #refresh(): Promise<void> {
    const before = this.#snapshot;
    const read = await this.#database.read((db) => readAfter(db, before));
    if (read !== undefined && read.loss > 0) throw shrunk(this.#database.file, before, read.loss);
    this.#end('read');
    // Of two that overlap, the one that began later has read later, and ends later.
    if (read === undefined) return;
    this.#snapshot = read.snapshot;
    for (const listener of this.#listeners) listener(read.snapshot, before);
  }

  #begin(kind: FaultKind, error: unknown): void {
    if (!(error instanceof RegistryError)) throw error;
    const known = this.#faults[kind];
    this.#faults = { ...this.#faults, [kind]: error };
    if (known?.code === error.code) return;
    const names = this.#snapshot.size;
    this.#log.error(
      { err: error, kind, names },
      'the registry has a fault; the last good snapshot goes on serving',
    );
  }

  #end(kind: FaultKind): void {
    if (this.#faults[kind] === undefined) return;
    this.#faults = { ...this.#faults, [kind]: undefined };
    this.#log.info({ kind, names: this.#snapshot.size }, 'the registry is well again');
  }
}

type FaultKind = 'read' | 'write';

/** Faults after which the connection is as good as before. */
const HARMLESS: ReadonlySet<RegistryErrorCode> = new Set([
  'ERR_REGISTRY_BUSY',
  'ERR_REGISTRY_SHRUNK',
]);

function shrunk(file: string, before: RegistrySnapshot, loss: number): RegistryError {
  return new RegistryError(
    'ERR_REGISTRY_SHRUNK',
    `The registry ${file} has lost ${loss} of ${before.size} names, and its history does not say ` +
      'why. It is not used. Restore it from a backup; or, if the loss is wanted, start the relay anew.',
  );
}
