// The registry as this process sees it: a snapshot, exchanged as a whole whenever the database has
// another one that can be believed. It looks often, and thoroughly as often as that is cheap.
import type { RegistryDatabase } from './database.ts';
import { FreshRun } from './fresh-run.ts';
import type { Depth, Following, Reading } from './reader.ts';
import { RegistryError, type RegistryErrorCode } from './registry-error.ts';
import type { RegistrySnapshot } from './snapshot.ts';
import type { Standing } from './standing.ts';

const VIEW_LIMITS = {
  /** Counting all rows, or reading them, may take this share of the time and no more. */
  thoroughShare: 0.005,
  /** However long it takes, after so long it is worth another look. */
  thoroughMs: 60_000,
} as const;

/**
 * `names`: whose rows have changed; `keys`: the thumbprints of devices whose rows may have. Both are
 * `undefined` when everything was read anew.
 */
export type SnapshotListener = (
  snapshot: RegistrySnapshot,
  before: RegistrySnapshot,
  names: ReadonlySet<string> | undefined,
  keys: ReadonlySet<string> | undefined,
) => void;

export interface FirstReading {
  readonly follow: Following;
  readonly reading: Reading;
  readonly version: string;
}

export class View {
  readonly #database: RegistryDatabase;
  readonly #standing: Standing;
  readonly #follow: Following;
  readonly #snapshotListeners = new Set<SnapshotListener>();
  readonly #serialListeners = new Set<(serial: number) => void>();
  readonly #looking = new FreshRun(() => this.#look());
  readonly #refreshing = new FreshRun(() =>
    this.#inTurn(() => this.#read('quick')).catch((error: unknown) =>
      this.#standing.begin('read', error),
    ),
  );
  #snapshot: RegistrySnapshot;
  #serial: number;
  #version: string;
  /** The connection is a new one, and nothing of it was read yet. */
  #renewed = false;
  #thoroughAtMs = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(database: RegistryDatabase, standing: Standing, first: FirstReading) {
    this.#follow = first.follow;
    this.#database = database;
    this.#standing = standing;
    this.#snapshot = first.reading.snapshot;
    this.#serial = first.reading.serial;
    this.#version = first.version;
  }

  get snapshot(): RegistrySnapshot {
    return this.#snapshot;
  }

  onChange(listener: SnapshotListener): () => void {
    this.#snapshotListeners.add(listener);
    return () => this.#snapshotListeners.delete(listener);
  }

  onSerial(listener: (serial: number) => void): () => void {
    this.#serialListeners.add(listener);
    return () => this.#serialListeners.delete(listener);
  }

  /** Sees every deed that was done before the call. Never rejects; what fails is a fault. */
  refresh(): Promise<void> {
    return this.#refreshing.run();
  }

  /** Looks whether others did something. Never rejects; what fails is a fault. */
  look(): Promise<void> {
    return this.#looking.run();
  }

  async #look(): Promise<void> {
    try {
      const code = this.#standing.read?.code;
      const broken = code !== undefined && !HARMLESS.has(code);
      if (await this.#database.renew(broken)) {
        this.#renewed = true;
        this.#thoroughAtMs = 0;
      }
      const version = await this.#database.version();
      const due = performance.now() >= this.#thoroughAtMs;
      const other = version !== this.#version || this.#renewed || code !== undefined;
      if (other || (due && !this.#database.tellsAll)) {
        await this.#inTurn(() => this.#readThoroughly());
      }
      this.#version = version;
    } catch (error) {
      this.#standing.begin('read', error);
      return;
    }
    if (this.#standing.write === undefined) return;
    await this.#database.probe().then(
      () => this.#standing.end('write'),
      (error: unknown) => this.#standing.begin('write', error),
    );
  }

  /** As thoroughly as there is time for, and as the last fault demands. */
  async #readThoroughly(): Promise<void> {
    const startedMs = performance.now();
    const due = startedMs >= this.#thoroughAtMs;
    const shrunk = this.#standing.read?.code === 'ERR_REGISTRY_SHRUNK';
    if (shrunk && !due) return;
    try {
      await this.#read(this.#renewed || shrunk ? 'whole' : due ? 'counted' : 'quick');
      this.#renewed = false;
    } finally {
      const endedMs = performance.now();
      const restMs = (endedMs - startedMs) / VIEW_LIMITS.thoroughShare;
      if (due) this.#thoroughAtMs = endedMs + Math.min(restMs, VIEW_LIMITS.thoroughMs);
    }
  }

  /** Exchanges the snapshot if the database has another one that can be believed. */
  async #read(depth: Depth): Promise<void> {
    const before = this.#snapshot;
    const read = await this.#database.read((db) => this.#follow.after(db, before, depth));
    if (read.loss > 0) throw shrunk(this.#database.title, before, read.loss);
    this.#standing.end('read');
    if (read.snapshot !== before) {
      this.#snapshot = read.snapshot;
      const { about, keys } = read.changed ?? {};
      for (const listener of this.#snapshotListeners) listener(read.snapshot, before, about, keys);
    }
    if (read.serial === this.#serial) return;
    this.#serial = read.serial;
    for (const listener of this.#serialListeners) listener(read.serial);
  }

  /** One reading after the other: an older state must never take the place of a newer one. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#reading.then(work);
    this.#reading = turn.catch(() => undefined);
    return turn;
  }
}

/** Faults after which the connection is as good as before. */
const HARMLESS: ReadonlySet<RegistryErrorCode> = new Set([
  'ERR_REGISTRY_BUSY',
  'ERR_REGISTRY_SHRUNK',
]);

function shrunk(title: string, before: RegistrySnapshot, loss: number): RegistryError {
  return new RegistryError(
    'ERR_REGISTRY_SHRUNK',
    `The ${title} has lost ${loss} of ${before.size} names, and its history does not say why. It is ` +
      'not used. Restore it from a backup; or, if the loss is wanted, start the relay anew.',
  );
}
