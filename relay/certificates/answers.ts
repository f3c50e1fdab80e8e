// What a relay answers an authority that looks at an own domain: by plain HTTP a text, by TLS a
// certificate. Whichever relay the authority comes to answers, so the answers lie in the registry. They
// are few, and all are read at once, no more often than a few times a second: what strangers ask costs
// the database nothing. Whoever asks for what is not there waits for a reading that began after he
// asked, so that an answer which was shown a moment ago is never denied.

import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { makeAlpnCertificate } from '../../certs/alpn-certificate.ts';
import type { Hostname } from '../../dns/name.ts';
import { listAnswers } from '../registry/certificates/answers.ts';
import type { Registry } from '../registry/registry.ts';

const ANSWER_LIMITS = {
  /** Orders of own domains that are under way at one time, at all relays, and some to spare. */
  answersMax: 5_000,
  /** Between two readings; an authority waits for ten seconds. */
  readEveryMs: 250,
  /** While the registry is away, nobody waits longer for it. */
  readMs: 3_000,
} as const;

export class ChallengeAnswers {
  readonly #registry: Pick<Registry, 'read'>;
  readonly #now: () => number;
  /** Key authorizations by kind, hostname and, for HTTP, token. */
  #answers: ReadonlyMap<string, string> = new Map();
  #readAt = -Infinity;
  /** The reading that has not begun yet: it is good for all who ask until then. */
  #next: Promise<void> | undefined;
  readonly #contexts = new Map<string, Promise<SecureContext>>();

  constructor(registry: Pick<Registry, 'read'>, now: () => number = Date.now) {
    this.#registry = registry;
    this.#now = now;
  }

  /** For `/.well-known/acme-challenge/TOKEN`. Never rejects. */
  keyAuthorization(hostname: Hostname, token: string): Promise<string | undefined> {
    return this.#find(`http-01 ${hostname} ${token}`);
  }

  /** For a ClientHello that offers `acme-tls/1`. */
  async alpnContext(hostname: Hostname): Promise<SecureContext | undefined> {
    const keyAuthorization = await this.#find(`tls-alpn-01 ${hostname}`);
    if (keyAuthorization === undefined) return undefined;
    const present = this.#contexts.get(keyAuthorization);
    if (present !== undefined) return present;
    const made = makeAlpnCertificate(hostname, keyAuthorization).then(({ certPem, keyPem }) =>
      createSecureContext({ cert: certPem, key: keyPem, minVersion: 'TLSv1.2' }),
    );
    this.#contexts.set(keyAuthorization, made);
    return made;
  }

  async #find(key: string): Promise<string | undefined> {
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    await Promise.race([this.#reading(), delay(ANSWER_LIMITS.readMs, undefined, { ref: false })]);
    return this.#answers.get(key);
  }

  #reading(): Promise<void> {
    this.#next ??= this.#read();
    return this.#next;
  }

  async #read(): Promise<void> {
    const waitMs = this.#readAt + ANSWER_LIMITS.readEveryMs - performance.now();
    // Always a turn of the event loop: all who ask in this one share the reading.
    await delay(Math.max(0, waitMs), undefined, { ref: false });
    this.#next = undefined;
    this.#readAt = performance.now();
    try {
      const max = ANSWER_LIMITS.answersMax;
      const rows = await this.#registry.read(listAnswers({ nowMs: this.#now(), max }));
      this.#answers = new Map(
        // Of several for one name by TLS, the one that ends last stays.
        rows
          .toReversed()
          .map(({ kind, hostname, token, keyAuthorization }) => [
            kind === 'http-01' ? `${kind} ${hostname} ${token}` : `${kind} ${hostname}`,
            keyAuthorization,
          ]),
      );
      const live = new Set(this.#answers.values());
      for (const text of this.#contexts.keys()) {
        if (!live.has(text)) this.#contexts.delete(text);
      }
    } catch {
      // The registry has told of its fault; what was read before still counts.
    }
  }
}
