// The certificate of one name of this device: the present pair, when the next one is asked for, and the
// asking itself. A key is on the disk before anybody hears of it, and waits there until its certificate
// has come; what comes is judged against key and names before it takes the place of the old one. While it
// is not due, the relay is asked now and then whether it is to be renewed sooner (certificate-news.ts).
import type { Logger } from 'pino';
import { judgeChain, readChain } from '../certs/chain.ts';
import { renewAtMs } from '../certs/renewal.ts';
import { retryDelayMs } from '../certs/retry-ladder.ts';
import { StoreError } from '../certs/store.ts';
import type { DeviceName, Hostname } from '../dns/name.ts';
import { printable } from '../relay/entrance/printable.ts';
import { isoTime } from '../relay/protocol/iso-time.ts';
import type { DeviceApi } from './api.ts';
import type { Answer } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import {
  type CertificateFiles,
  type CertificateNote,
  type KeptPair,
  namesFor,
} from './certificate-files.ts';
import { RenewalNews } from './certificate-news.ts';
import type { Clock } from './clock.ts';

export const RENEWAL_LIMITS = {
  /** Whatever the relay says of its renewal, a certificate is not followed by another one sooner. */
  freshMs: 3_600_000,
  /** While an order is under way: no sooner, and no later, whatever the relay says. */
  orderedMsMin: 1_000,
  orderedMsMax: 3_600_000,
  /** Devices that waited for a relay do not all ask in the moment when it comes back. */
  returnSpreadMs: 10_000,
  /** Of a sentence of the relay's that a person is shown. */
  sentenceCharsMax: 600,
} as const;

export interface RenewalParts {
  readonly files: CertificateFiles;
  readonly api: () => DeviceApi;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

export class OwnCertificate {
  readonly name: DeviceName;
  readonly subject: Hostname;
  readonly #parts: RenewalParts;
  #present: KeptPair | undefined;
  #note: CertificateNote = {};
  /** By the relay's clock. */
  #dueAtMs = 0;
  /** By the monotonic one. */
  #notSoonerMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  /** The last failure was that the relay is away. */
  #away = false;
  /** The disk has not taken the present pair: it is asked for again. */
  #unwritten = false;
  readonly #news: RenewalNews;

  constructor(name: DeviceName, subject: Hostname, parts: RenewalParts) {
    this.name = name;
    this.subject = subject;
    this.#parts = parts;
    this.#news = new RenewalNews(parts);
  }

  get present(): KeptPair | undefined {
    return this.#present;
  }

  /** When the last attempt failed; `undefined`: it did not. */
  get failedAtMs(): number | undefined {
    const { problemAt } = this.#note;
    return problemAt === undefined ? undefined : Date.parse(problemAt);
  }

  /** Takes what lies on the disk. */
  async restore(): Promise<void> {
    const { files } = this.#parts;
    this.#note = await files.note(this.name);
    const pair = await files.pair(this.name);
    // That of a vendor who has another zone now is worth nothing.
    if (pair?.subject !== this.subject) return;
    this.#present = pair;
    this.#dueAtMs = dueAtMs(pair, this.#note.renewAt);
    this.#news.restored();
    const pending = await files.pending(this.name, namesFor(this.subject));
    // The power failed when its certificate had just come.
    if (pending?.keyPem === pair.keyPem) await files.dropPending(this.name);
  }

  /** Until there is something to ask for; not above zero: now. */
  dueInMs(): number {
    const waitMs = this.#notSoonerMs - this.#parts.clock.monotonicMs();
    const untilMs = this.#untilRenewalMs();
    const renewalMs = Math.max(untilMs, waitMs);
    // What is to be renewed is asked for, and nothing is new about that.
    return untilMs <= 0 ? renewalMs : Math.min(renewalMs, this.#news.untilMs());
  }

  /** The relay is there again. */
  relayIsBack(): void {
    if (!this.#away) return;
    const { clock, random } = this.#parts;
    const soonMs = clock.monotonicMs() + random() * RENEWAL_LIMITS.returnSpreadMs;
    this.#notSoonerMs = Math.min(this.#notSoonerMs, soonMs);
  }

  /** The relay has something new to say of when to renew. */
  called(): void {
    this.#news.called();
  }

  /** Asks once. True: there is another pair. Never rejects; a bug is logged and tried again. */
  async ask(signal: AbortSignal): Promise<boolean> {
    const before = this.#present;
    if (this.#untilRenewalMs() > 0) {
      await this.#askForNews(signal);
      return false;
    }
    try {
      await this.#ask(signal);
    } catch (error) {
      if (!signal.aborted) await this.#failed(error);
    }
    return this.#present !== before;
  }

  #untilRenewalMs(): number {
    if (this.#present === undefined || this.#unwritten) return 0;
    return this.#dueAtMs - this.#parts.clock.now();
  }

  /** Whether the relay wants the present one renewed at another time. Whatever fails changes nothing. */
  async #askForNews(signal: AbortSignal): Promise<void> {
    try {
      await this.#move(await this.#news.ask(this.name, signal));
    } catch (error) {
      const { log } = this.#parts;
      log.debug({ err: error, name: this.name }, 'own certificate: when to renew was not told');
    }
  }

  async #move(renewAt: string): Promise<void> {
    const { clock, log } = this.#parts;
    if (this.#present === undefined) return;
    const movedMs = dueAtMs(this.#present, renewAt);
    if (movedMs === this.#dueAtMs) return;
    if (movedMs < clock.now()) {
      log.info(
        { name: this.name, renewAt: isoTime(movedMs) },
        'own certificate: to be renewed early',
      );
    }
    this.#dueAtMs = movedMs;
    await this.#keepNote({ ...this.#note, renewAt: isoTime(movedMs) });
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { files, api, clock } = this.#parts;
    const names = namesFor(this.subject);
    const pending =
      (await files.pending(this.name, names)) ?? (await files.makePending(this.name, names));
    const asked = { name: this.name, csr: pending.csr.toString('base64') };
    const answer = await api().ask('POST', '/v1/device/certificate', asked, signal);
    const chainPem = answer.optionalText('chain');
    if (chainPem === undefined) return await this.#ordered(answer);
    const { keyPem, publicKeyDer } = pending;
    const fault = judgeChain(chainPem, { names, publicKeyDer, nowMs: clock.now() });
    if (fault !== undefined) throw new ApiError('answer', `${printable(fault, CHARS)} ${NOT_USED}`);
    const pair = { subject: this.subject, keyPem, chainPem, facts: readChain(chainPem) };
    const renewAt = answer.text('renewAt');
    this.#present = pair;
    this.#dueAtMs = dueAtMs(pair, renewAt);
    this.#unwritten = true;
    await files.keep(this.name, pending, chainPem);
    await this.#succeeded(pair);
  }

  async #ordered(answer: Answer): Promise<void> {
    const { orderedMsMin, orderedMsMax } = RENEWAL_LIMITS;
    const waitMs = Math.max(answer.number('retryAfterSeconds') * 1_000, orderedMsMin);
    this.#notSoonerMs = this.#parts.clock.monotonicMs() + Math.min(waitMs, orderedMsMax);
    this.#away = false;
    const problem = answer.optionalText('problem');
    await this.#tell(problem === undefined ? undefined : printable(problem, CHARS));
  }

  async #succeeded({ facts }: KeptPair): Promise<void> {
    const { clock, log } = this.#parts;
    this.#unwritten = false;
    this.#away = false;
    this.#failures = 0;
    this.#notSoonerMs = clock.monotonicMs() + RENEWAL_LIMITS.freshMs;
    this.#news.told();
    const [ends, renewAt] = [isoTime(facts.notAfterMs), isoTime(this.#dueAtMs)];
    log.info({ name: this.name, ends, renewAt }, 'own certificate: a new one is here');
    await this.#tell(undefined);
  }

  async #failed(error: unknown): Promise<void> {
    const { clock, random, files, log } = this.#parts;
    this.#failures += 1;
    const known = error instanceof ApiError || error instanceof StoreError;
    const kind = error instanceof ApiError ? error.kind : '';
    this.#away = error instanceof ApiError && error.passing;
    // An older relay knows nothing of it: only the end of the ladder is worth trying.
    if (kind === NOT_FOUND) this.#failures = LADDER_END;
    this.#notSoonerMs = clock.monotonicMs() + retryDelayMs(this.#failures, random());
    if (!known) log.error({ err: error, name: this.name }, 'own certificate: failed');
    // With another key it is another question.
    if (REFUSED_KEYS.has(kind)) await files.dropPending(this.name).catch(() => undefined);
    const message = known ? error.message : 'The device failed to ask. Its log tells more.';
    await this.#tell(kind === NOT_FOUND ? OLD_RELAY : message);
  }

  /** Notes how it stands, and says a new problem once. */
  async #tell(problem: string | undefined): Promise<void> {
    const { clock, log } = this.#parts;
    if (problem !== undefined && problem !== this.#note.problem) {
      log.warn({ name: this.name }, `own certificate: ${problem}`);
    }
    await this.#keepNote({
      ...(this.#present === undefined ? {} : { renewAt: isoTime(this.#dueAtMs) }),
      ...(problem === undefined ? {} : { problem, problemAt: isoTime(clock.now()) }),
    });
  }

  async #keepNote(note: CertificateNote): Promise<void> {
    const { files, log } = this.#parts;
    this.#note = note;
    // On a full disk it is as good as it was: nothing depends on it.
    await files.writeNote(this.name, note).catch((error: unknown) => {
      log.debug({ err: error }, 'a note was not written');
    });
  }
}

/** When the relay wants it, or when by its own life it is time, whichever is sooner. */
export function dueAtMs({ facts }: KeptPair, renewAt: string | undefined): number {
  const seed = Number.parseInt(facts.serial.slice(-8), 16) / 2 ** 32;
  const ownMs = renewAtMs(facts, undefined, seed);
  const wantedMs = Date.parse(renewAt ?? '');
  return Number.isFinite(wantedMs) ? Math.min(wantedMs, ownMs) : ownMs;
}

const CHARS = RENEWAL_LIMITS.sentenceCharsMax;
/** Six hours. */
const LADDER_END = 13;
const NOT_FOUND = 'not-found';
const REFUSED_KEYS: ReadonlySet<string> = new Set([
  'csr-refused',
  'certificate-key-known',
  'certificate-key-followed',
]);

const NOT_USED =
  'What the relay has sent is not used, and the old certificate stays; the device asks again. If it ' +
  'goes on like this, tell the vendor.';
const OLD_RELAY =
  'The relay gives devices no certificates for keys of their own. Ask the vendor to update it.';
