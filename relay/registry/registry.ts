// Who owns which name: a database for the truth, a snapshot in memory for the data path. Several
// processes (relays, the command line) may use the database; each sees the others' deeds at once.
//
// Fail-static: whatever happens to the database, the last good snapshot goes on serving, and a fault is
// logged when it begins and when it ends. What a promise of ours has acknowledged is on the disk, but
// for epochs during a fault (see `nextEpoch`) and `markSeen`.
import type { Logger } from 'pino';
import type { DatabasePlace, RegistryDatabase, RegistryWork } from './database.ts';
import type { Deed } from './deed.ts';
import { type Enrolment, type EnrolOutcome, enroll } from './deeds/enroll.ts';
import { type Release, release } from './deeds/release.ts';
import { type Revocation, revoke } from './deeds/revoke.ts';
import { EpochCounter } from './epoch-counter.ts';
import { NAME_POLICY, type NamePolicy } from './policy.ts';
import { FOLLOW_NAMES, type Following } from './reader.ts';
import { RegistryError } from './registry-error.ts';
import { SightingLog } from './sighting-log.ts';
import type { RegistrySnapshot } from './snapshot.ts';
import { openSqlite } from './sqlite-database.ts';
import { Standing } from './standing.ts';
import { type FirstReading, type SnapshotListener, View } from './view.ts';
import { publish } from './zone-publication.ts';

export const REGISTRY_LIMITS = {
  /** Changes that wait for the database; more means that it does not keep up. */
  writesMax: 10_000,
  /** When devices were last seen is written in one go; a relay that dies forgets no more than this. */
  sightingsFlushMs: 5_000,
} as const;

export type RegistryLimits = Readonly<Record<keyof typeof REGISTRY_LIMITS, number>> & {
  /** How often to look for the deeds of others; without it as the database advises. */
  readonly pollMs?: number;
};

export interface RegistryOptions {
  readonly database: DatabasePlace;
  readonly log: Logger;
  readonly policy?: Partial<NamePolicy>;
  readonly limits?: Partial<RegistryLimits>;
  /** What deeds take for the time, in milliseconds since 1970; for tests. */
  readonly now?: () => number;
  /** What the snapshot holds: all names, unless somebody wants less. */
  readonly follow?: Following;
}

/** Opens the registry; made if absent. Rejects when it cannot be used: there is no last good. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const database = await openDatabase(options.database);
  try {
    const version = await database.version();
    const { follow = FOLLOW_NAMES } = options;
    const reading = await database.read(follow.first);
    return new Registry(options, database, { follow, reading, version });
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openDatabase(place: DatabasePlace): Promise<RegistryDatabase> {
  if (place.kind === 'sqlite') return openSqlite(place.file);
  // Loaded by who has one: every start of a program and every verb opens a registry.
  const { openPostgres } = await import('./postgres-database.ts');
  return openPostgres(place.url);
}

export class Registry {
  readonly policy: NamePolicy;
  readonly #limits: RegistryLimits;
  readonly #now: () => number;
  readonly #epochs: EpochCounter;
  readonly #sightings: SightingLog;
  readonly #standing: Standing;
  readonly #view: View;
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #database: RegistryDatabase;
  #writes = 0;
  #closed = false;

  /** Use `openRegistry`. */
  constructor(
    { log, policy, limits, now = Date.now }: RegistryOptions,
    database: RegistryDatabase,
    first: FirstReading,
  ) {
    this.policy = { ...NAME_POLICY, ...policy };
    this.#now = now;
    this.#limits = { ...REGISTRY_LIMITS, ...limits };
    this.#database = database;
    this.#standing = new Standing(log, () => this.snapshot.size);
    this.#view = new View(database, this.#standing, first);
    this.#epochs = new EpochCounter((work, waitMs) => this.write(work, waitMs));
    this.#sightings = new SightingLog((work, waitMs) => this.write(work, waitMs));
    const { pollMs = database.pollMs, sightingsFlushMs } = this.#limits;
    this.#timers = [
      setInterval(() => void this.poll(), pollMs).unref(),
      setInterval(() => void this.#sightings.flush(), sightingsFlushMs).unref(),
    ];
    database.noticed = () => void this.poll();
  }

  /** The last good one. Take it anew for every question; it is exchanged as a whole. */
  get snapshot(): RegistrySnapshot {
    return this.#view.snapshot;
  }

  /** Why the database cannot be used at present, for readiness and metrics. */
  get fault(): RegistryError | undefined {
    return this.#standing.read ?? this.#standing.write;
  }

  /** Why the database cannot be read at present: what others did is not known. */
  get readFault(): RegistryError | undefined {
    return this.#standing.read;
  }

  /** Calls back after every exchange of the snapshot; the result ends that. */
  onChange(listener: SnapshotListener): () => void {
    return this.#view.onChange(listener);
  }

  /** Calls back when the zone has a new serial, whoever made it; the result ends that. */
  onSerial(listener: (serial: number) => void): () => void {
    return this.#view.onSerial(listener);
  }

  /** Does a deed. When the promise is fulfilled, it is on the disk, and the snapshot has seen it. */
  async perform<Value>(deed: Deed<Value>): Promise<Value> {
    const { policy } = this;
    const value = await this.#do((waitMs) =>
      this.#database.perform(async (db) => {
        const labels = new Set<string>();
        const touch = (label: string) => void labels.add(label);
        const scope = { db, nowMs: this.#now(), policy, touch };
        const done = await deed(scope);
        if (labels.size > 0) await publish(scope, labels);
        return done;
      }, waitMs),
    );
    // The deed is done, whether or not it can be read back now; the next look tries again.
    await this.#view.refresh();
    return value;
  }

  /** Gives a free name to a key. The same key again changes nothing. */
  enroll(enrolment: Enrolment): Promise<EnrolOutcome> {
    return this.perform(enroll(enrolment));
  }

  /** Takes a name from its key; nobody else gets it before its quarantine is over. */
  release(wanted: Release): Promise<void> {
    return this.perform(release(wanted));
  }

  /** Bars a key for ever. Its names stay with it until they are released or replaced. */
  revoke(wanted: Revocation): Promise<void> {
    return this.perform(revoke(wanted));
  }

  /** A transaction that changes nothing which the snapshot or the zone shows. */
  write<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value> {
    return this.#do((shorterMs) => this.#database.write(work, shorterMs ?? waitMs));
  }

  /** A transaction that sees one state of all tables. */
  read<Value>(work: RegistryWork<Value>): Promise<Value> {
    return this.#database.read(work);
  }

  /**
   * A number greater than all before it for this key. While the database cannot be written, it is drawn
   * from memory, so that devices can come back; two processes may then draw the same one.
   */
  nextEpoch(thumbprint: string): Promise<number> {
    return this.#epochs.next(thumbprint, this.snapshot.admissible(thumbprint) !== undefined);
  }

  /** Notes that a device is there. Written later; a crash loses up to five seconds of it. */
  markSeen(thumbprint: string, atMs: number): void {
    if (this.snapshot.admissible(thumbprint) !== undefined) this.#sightings.mark(thumbprint, atMs);
  }

  /** When a device was last seen, by any relay. `undefined`: never, or the database cannot tell. */
  lastSeenMs(thumbprint: string): Promise<number | undefined> {
    return this.#sightings.lastMs(thumbprint, (work) => this.#database.read(work));
  }

  /** Looks at the database now instead of soon. Never rejects; see `fault`. */
  poll(): Promise<void> {
    return this.#closed ? Promise.resolve() : this.#view.look();
  }

  /** Writes what is still in memory and lets go of the database. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#sightings.flush();
    this.#closed = true;
    await this.#view.look();
    await this.#database.close();
  }

  /** During a fault nobody waits; the attempt itself tells whether it is over. */
  async #do<Value>(attempt: (waitMs: number | undefined) => Promise<Value>): Promise<Value> {
    if (this.#closed) throw new RegistryError('ERR_REGISTRY_CLOSED', 'The registry is closed.');
    if (this.#standing.read?.code === 'ERR_REGISTRY_SHRUNK') throw this.#standing.read;
    if (this.#writes >= this.#limits.writesMax) {
      const message = 'Too many changes of the registry wait already. Try again later.';
      throw new RegistryError('ERR_REGISTRY_BUSY', message);
    }
    this.#writes += 1;
    try {
      const value = await attempt(this.fault === undefined ? undefined : 0);
      this.#standing.end('write');
      return value;
    } catch (error) {
      if (error instanceof RegistryError && error.code.startsWith('ERR_REGISTRY_')) {
        this.#standing.begin('write', error);
      }
      throw error;
    } finally {
      this.#writes -= 1;
    }
  }
}
