// The zone as a name server sees it: read from the registry once, and then step by step from the
// journal, as soon as a deed has changed it, in this process or another.
//
// Fail-static: while the database is away, or holds what cannot be believed, the last good zone stays.
// It never goes back either: when the registry does (a backup was restored), it gets a new serial first.
import type { Logger } from 'pino';
import type { Zone } from '../../dns/zone.ts';
import type { ZoneListener, ZoneSource, ZoneStep } from '../../dns/zone-source.ts';
import { ZoneText } from '../../dns/zone-text.ts';
import { renewZoneSerial } from './deeds/zone-apex.ts';
import type { Registry } from './registry.ts';
import { RegistryError } from './registry-error.ts';
import { firstLabel, readContent, stepsOf, withLabels } from './zone-content.ts';
import { type JournalRow, journalSince } from './zone-journal.ts';
import { readZone } from './zone-publication.ts';
import { isLaterSerial } from './zone-serial.ts';

const FEED_LIMITS = {
  /** Between two attempts while the database is away. */
  retryMs: 500,
  /** Rows that are told as steps; beyond them the whole zone is the shorter way for a secondary. */
  stepRowsMax: 20_000,
  /** The greatest loss without a reason in the journal: more labels, and than this share of all. */
  lossMax: 20,
  lossShareMax: 0.05,
} as const;

type FeedRegistry = Pick<Registry, 'read' | 'perform' | 'onSerial' | 'readFault'>;

/** Rejects when the registry publishes no zone: a name server configures it first (configureApex). */
export async function openZoneFeed(registry: FeedRegistry, log: Logger): Promise<ZoneFeed> {
  const first = await registry.read(async (db) => {
    const zone = await readZone(db);
    if (zone === undefined) return undefined;
    const text = new ZoneText(zone.settings.zone);
    return { text, zone: await readContent(db, text, zone.serial) };
  });
  if (first === undefined) {
    throw new RegistryError(
      'ERR_REGISTRY_UNAVAILABLE',
      'The registry publishes no zone yet. Start a name server while the registry can be written.',
    );
  }
  return new ZoneFeed(registry, log, first);
}

export class ZoneFeed implements ZoneSource {
  readonly #registry: FeedRegistry;
  readonly #log: Logger;
  readonly #text: ZoneText;
  readonly #listeners = new Set<ZoneListener>();
  readonly #endSign: () => void;
  #zone: Zone;
  #work: Promise<void> | undefined;
  #again = false;
  #retry: NodeJS.Timeout | undefined;
  #fault: Error | undefined;
  #closed = false;

  /** Use `openZoneFeed`. */
  constructor(
    registry: FeedRegistry,
    log: Logger,
    first: { readonly text: ZoneText; readonly zone: Zone },
  ) {
    this.#registry = registry;
    this.#log = log;
    this.#text = first.text;
    this.#zone = first.zone;
    this.#endSign = registry.onSerial(() => void this.follow());
    // Between the reading and the sign there may have been a change.
    void this.follow();
  }

  get zone(): Zone {
    return this.#zone;
  }

  /** Why the zone is not known to be the present one. While nothing can be read, no serial is heard of. */
  get fault(): Error | undefined {
    return this.#fault ?? this.#registry.readFault;
  }

  onChange(listener: ZoneListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** From the journal, so that it is known across restarts. */
  async stepsSince(serial: number): Promise<readonly ZoneStep[] | undefined> {
    const { serial: present } = this.#zone;
    if (serial === present) return [];
    if (isLaterSerial(serial, present)) return undefined;
    try {
      const rows = await this.#registry.read((db) =>
        journalSince(db, serial, FEED_LIMITS.stepRowsMax),
      );
      // The database may be ahead of us by now.
      const known = rows?.filter((row) => !isLaterSerial(row.serial, present));
      return known?.at(-1)?.serial === present ? stepsOf(this.#text, serial, known) : undefined;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      // Without the database there is still the whole zone.
      return undefined;
    }
  }

  /** Looks for changes now; settles when all that were there at the call are served. Never rejects. */
  follow(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#again = true;
    this.#work ??= this.#follow().finally(() => {
      this.#work = undefined;
    });
    return this.#work;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endSign();
    clearTimeout(this.#retry);
    await this.#work;
  }

  async #follow(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        await this.#step();
      }
      if (this.#fault !== undefined) this.#log.info('the zone follows the registry again');
      this.#fault = undefined;
    } catch (error) {
      const fault = error instanceof Error ? error : new Error(String(error));
      if (this.#fault?.message !== fault.message) {
        const { serial } = this.#zone;
        this.#log.error({ err: fault, serial }, 'the zone stays as it is');
      }
      this.#fault = fault;
      if (this.#closed) return;
      this.#retry = setTimeout(() => void this.follow(), FEED_LIMITS.retryMs).unref();
    }
  }

  async #step(): Promise<void> {
    const { serial } = this.#zone;
    const next = await this.#registry.read(async (db) => {
      const stored = await readZone(db);
      if (stored === undefined || stored.settings.zone !== this.#text.apex) return 'lost';
      if (stored.serial === serial) return undefined;
      if (!isLaterSerial(stored.serial, serial)) return 'behind';
      const rows = await journalSince(db, serial);
      if (rows !== undefined) return { serial: stored.serial, rows };
      return readContent(db, this.#text, stored.serial);
    });
    if (next === 'lost') throw new Error(`The registry publishes no zone ${this.#text.apex}.`);
    if (next === 'behind') return this.#goAhead(serial);
    if (next === undefined) return;
    if ('rows' in next) this.#advance(next.serial, next.rows);
    else this.#exchange(next);
  }

  #advance(serial: number, rows: readonly JournalRow[]): void {
    // The last row of a label says what is there now.
    const latest = new Map(rows.map(({ label, after }) => [label, after]));
    const labels = [...latest].map(([label, records]) => ({ label, records }));
    const changed = new Set(
      rows.flatMap(({ label, before, after }) => (before === after ? [] : firstLabel(label))),
    );
    this.#serve(withLabels(this.#zone, this.#text, serial, labels), [...changed]);
  }

  /** The journal does not lead there: all was read anew, and is judged before it is served. */
  #exchange(zone: Zone): void {
    const before = this.#zone;
    const { lossMax, lossShareMax } = FEED_LIMITS;
    const labels = new Set(before.top.keys());
    const changed: string[] = [''];
    for (const label of zone.top.keys()) {
      // Nodes of their own are new objects each time.
      if (before.top.get(label) !== zone.top.get(label)) changed.push(label);
      labels.delete(label);
    }
    if (labels.size > lossMax && labels.size > before.top.size * lossShareMax) {
      throw new Error(
        `The registry has lost ${labels.size} of ${before.top.size} names of the zone without a ` +
          'reason. Restore it from a backup; or, if the loss is wanted, start the name server anew.',
      );
    }
    this.#serve(zone, [...changed, ...labels]);
  }

  #serve(zone: Zone, changedLabels: readonly string[]): void {
    this.#zone = zone;
    for (const listener of this.#listeners) listener(zone, changedLabels);
  }

  /** Secondaries know our serial, and would ignore every earlier one. */
  async #goAhead(above: number): Promise<void> {
    this.#log.warn({ serial: above }, 'the registry went back in time; the zone gets a new serial');
    await this.#registry.perform(renewZoneSerial(above));
    this.#again = true;
  }
}
