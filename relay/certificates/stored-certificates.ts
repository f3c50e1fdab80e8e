// Certificates out of the registry, for the entrance. What was served once lies sealed on the disk as
// well, so that a relay that starts while the registry is away serves what it did before; beside the
// envelope key both are worth nothing to whoever steals them alone. New certificates, whichever relay
// ordered them, are seen by looking for them every few seconds.
import type { Logger } from 'pino';
import type { CertificateSource, KeyedCertificate } from '../../certs/certificate.ts';
import type { Envelope } from '../../certs/envelope.ts';
import type { Store } from '../../certs/store.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import {
  changesAfter,
  lastCertificateId,
  PRESENT_LIMITS,
  presentCertificate,
} from '../registry/certificates/present.ts';
import { aboutCertificate } from '../registry/certificates/sealed-about.ts';
import type { Registry } from '../registry/registry.ts';

export const STORED_LIMITS = {
  /** How late a certificate is served that another relay ordered; its old one has weeks left. */
  pollMs: 5_000,
  /** A database that hangs must not keep visitors waiting for what lies on the disk. */
  readMs: 2_000,
  /** Copies that are being written; a relay that starts reads faster than disks sync. */
  writesMax: 64,
} as const;

export interface StoredCertificatesOptions {
  readonly registry: Pick<Registry, 'read'>;
  readonly envelope: Pick<Envelope, 'open'>;
  readonly store: Store;
  readonly log: Logger;
  readonly limits?: Partial<Record<keyof typeof STORED_LIMITS, number>>;
}

/** As it lies on the disk. */
interface Copy {
  readonly id: number;
  readonly chain: string;
  readonly key: string;
  readonly notAfterMs: number;
}

export class StoredCertificates implements CertificateSource {
  readonly #options: StoredCertificatesOptions;
  readonly #limits: Readonly<Record<keyof typeof STORED_LIMITS, number>>;
  readonly #listeners = new Set<(subject: Hostname) => void>();
  #seenId: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** The last write of each subject: one after the other, or an old copy might outlive its end. */
  readonly #writes = new Map<Hostname, Promise<void>>();

  constructor(options: StoredCertificatesOptions) {
    this.#options = options;
    this.#limits = { ...STORED_LIMITS, ...options.limits };
  }

  onChange(listener: (subject: Hostname) => void): void {
    this.#listeners.add(listener);
  }

  /** From now on changes are told of. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), this.#limits.pollMs).unref();
    void this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#looking, ...this.#writes.values()]);
  }

  async load(subject: Hostname): Promise<KeyedCertificate | undefined> {
    const { registry } = this.#options;
    const reading = registry.read(presentCertificate({ subject }));
    let row: Awaited<typeof reading>;
    try {
      row = await inTime(reading, this.#limits.readMs);
    } catch (error) {
      const copy = await this.#fromDisk(subject);
      if (copy === undefined) throw error;
      return this.#opened(subject, copy);
    }
    if (row === undefined) {
      void this.remove(subject);
      return undefined;
    }
    const copy: Copy = row;
    const certificate = this.#opened(subject, copy);
    if (this.#writes.size < this.#limits.writesMax) {
      void this.#write(subject, () => this.#toDisk(subject, copy));
    }
    return certificate;
  }

  /** Drops the copy of a name that is nobody's any more. Never rejects. */
  remove(subject: Hostname): Promise<void> {
    return this.#write(subject, () => this.#options.store.remove(entryOf(subject)));
  }

  /** Looks for new certificates now instead of soon. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const { registry } = this.#options;
      let seenId = this.#seenId ?? (await registry.read(lastCertificateId()));
      for (let more = true; more; ) {
        const changes = await registry.read(changesAfter(seenId));
        for (const { subject, purpose } of changes) if (purpose !== 'device') this.#tell(subject);
        seenId = changes.at(-1)?.id ?? seenId;
        this.#seenId = seenId;
        more = changes.length >= PRESENT_LIMITS.changesMax;
      }
    } catch {
      // The registry has told of its fault; the next look sees what this one has missed.
    }
  }

  #tell(text: string): void {
    const subject = parseHostname(text);
    if (subject === undefined) return;
    for (const listener of this.#listeners) listener(subject);
  }

  #opened(subject: Hostname, { chain, key, notAfterMs }: Copy): KeyedCertificate {
    const keyPem = this.#options.envelope.open(key, aboutCertificate(subject));
    return { certPem: chain, keyPem, notAfterMs };
  }

  /** A full disk costs the copy and nothing else. */
  #write(subject: Hostname, work: () => Promise<void>): Promise<void> {
    const before = this.#writes.get(subject) ?? Promise.resolve();
    const written = before
      .then(work)
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error, subject }, 'a copy of a certificate was not written');
      })
      .finally(() => {
        if (this.#writes.get(subject) === written) this.#writes.delete(subject);
      });
    this.#writes.set(subject, written);
    return written;
  }

  async #toDisk(subject: Hostname, copy: Copy): Promise<void> {
    const { store } = this.#options;
    const { id, chain, key, notAfterMs } = copy;
    const text = JSON.stringify({ id, chain, key, notAfterMs } satisfies Copy);
    if ((await store.read(entryOf(subject))) !== text) await store.write(entryOf(subject), text);
  }

  async #fromDisk(subject: Hostname): Promise<Copy | undefined> {
    const text = await this.#options.store.read(entryOf(subject));
    if (text === undefined) return undefined;
    const copy = parseCopy(text);
    if (copy === undefined) {
      this.#options.log.warn({ subject }, 'a copy of a certificate is damaged and not used');
    }
    return copy;
  }
}

function entryOf(subject: Hostname): string {
  return `sealed-${subject}.json`;
}

function parseCopy(text: string): Copy | undefined {
  try {
    const { id, chain, key, notAfterMs }: Partial<Record<keyof Copy, unknown>> = JSON.parse(text);
    if (typeof id !== 'number' || typeof notAfterMs !== 'number') return undefined;
    if (typeof chain !== 'string' || typeof key !== 'string') return undefined;
    return { id, chain, key, notAfterMs };
  } catch {
    return undefined;
  }
}

async function inTime<Value>(work: Promise<Value>, ms: number): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('The registry does not answer.')), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
    // Nobody waits for it any more, and it may still fail.
    work.catch(() => undefined);
  }
}
