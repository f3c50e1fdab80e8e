// One attempt at one certificate: an order begun or taken up again, and what follows from how it ended.
// What must not be lost is in the registry before the next step: what was spent before an order is begun,
// the key with the order before anything is proven, the certificate before it counts as done.
import type { Logger } from 'pino';
import { readChain } from '../../certs/chain.ts';
import { judgeCsr, makeCsr } from '../../certs/csr.ts';
import type { Envelope } from '../../certs/envelope.ts';
import type { AcmeAuthority } from '../../certs/order.ts';
import { renewAtMs } from '../../certs/renewal.ts';
import type { Hostname } from '../../dns/name.ts';
import type { DomainConsent } from '../domains/domains.ts';
import {
  type OrderSpending,
  type Spent,
  spendAsNew,
  spendOrder,
} from '../registry/certificates/budget.ts';
import { keepOwnKey } from '../registry/certificates/device-keys.ts';
import { finishWork } from '../registry/certificates/finish.ts';
import {
  abandonOrder,
  callDevice,
  keepOrder,
  postpone,
} from '../registry/certificates/held-work.ts';
import type { Job } from '../registry/certificates/job.ts';
import { aboutCertificate } from '../registry/certificates/sealed-about.ts';
import type { Registry } from '../registry/registry.ts';
import { chooseAuthority, replacing, spending } from './authority-choice.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { seedOf } from './certificate-seed.ts';
import { isWithDevice, WITH_DEVICE_MS } from './device-work.ts';
import { type Ending, LeaseLost, NotNow, settleFailure } from './failed-attempt.ts';
import { type Later, laterOf, NoRoom, noRoom } from './no-room.ts';
import type { MakeProver } from './provers.ts';

export interface AttemptParts {
  readonly registry: Pick<Registry, 'read' | 'write'>;
  readonly envelope: Pick<Envelope, 'seal' | 'open' | 'isCurrent' | 'reseal'>;
  /** In the order in which they are tried. */
  readonly authorities: readonly CertificateAuthority[];
  readonly makeProver: MakeProver;
  readonly zone: Hostname;
  readonly log: Logger;
  readonly now: () => number;
  /** 0 to below 1. */
  readonly random: () => number;
  /** Asked before the certificate of an own domain is ordered: one that must fail costs all others. */
  readonly mayOrder?: ((domain: string) => Promise<DomainConsent>) | undefined;
  /** Called when a device is wanted to come with a new key. */
  readonly called?: (() => void) | undefined;
  /** Called with what became of an order. */
  readonly ended: (authority: string, ending: Ending) => void;
}

/** What is signed, and how far its order is. */
interface Request {
  /** DER. */
  readonly csr: Buffer;
  /** Sealed; `undefined`: the device has it. */
  readonly key: string | undefined;
  readonly replaces?: string | undefined;
  readonly url?: string | undefined;
}

/** Never rejects. The signal ends it early: the lease is lost, or the relay stops. */
export async function attempt(job: Job, parts: AttemptParts, signal: AbortSignal): Promise<void> {
  const { registry, log, now } = parts;
  try {
    if (isWithDevice(job)) {
      const why = 'Waits for the device to come with a new key.';
      const called = await registry.write(
        callDevice(job, { untilMs: WITH_DEVICE_MS, why, nowMs: now() }),
      );
      if (called) parts.called?.();
      return;
    }
    const choice = chooseAuthority(job, parts.authorities, now());
    const later = 'ready' in choice ? await tryEach(job, choice.ready, { parts, signal }) : choice;
    if (later === undefined) return;
    await registry.write(postpone(job, later.waitUntilMs, later.why, now()));
  } catch (error) {
    // The registry is away, and has told of that. The lease ends, and somebody goes on from there.
    log.warn(
      { err: error, subject: job.subject },
      'a certificate: how far its order is was not noted',
    );
  }
}

interface Surroundings {
  readonly parts: AttemptParts;
  readonly signal: AbortSignal;
}

/** `undefined`: it is settled; else no budget allows it, and until when. */
async function tryEach(
  job: Job,
  ready: readonly CertificateAuthority[],
  { parts, signal }: Surroundings,
): Promise<Later | undefined> {
  let later: Later | undefined;
  for (const authority of ready) {
    const trial = new Trial(job, authority, { parts, signal });
    // Without a turn of the event loop after it was found ready.
    authority.rest.begin();
    try {
      const refusal = await trial.run().catch(laterOf);
      if (refusal === undefined) return undefined;
      if (later === undefined || refusal.waitUntilMs < later.waitUntilMs) later = refusal;
    } catch (error) {
      await settleFailure({ job, authority, parts, signal, ...trial.state }, error);
      return undefined;
    } finally {
      authority.rest.end();
    }
  }
  return later;
}

/** The attempt at one authority. */
class Trial {
  readonly #job: Job;
  readonly #authority: CertificateAuthority;
  readonly #parts: AttemptParts;
  readonly #signal: AbortSignal;
  /** `spent`: the budget is, and the authority has no order yet. */
  readonly state: { begun: 'no' | 'spent' | 'begun' } = { begun: 'no' };

  constructor(job: Job, authority: CertificateAuthority, { parts, signal }: Surroundings) {
    this.#job = job;
    this.#authority = authority;
    this.#parts = parts;
    this.#signal = signal;
  }

  async run(): Promise<Later | undefined> {
    const acme = await this.#authority.open();
    const request = (await this.#takenUp()) ?? (await this.#new(acme));
    if ('waitUntilMs' in request) return request;
    const { csr, url, replaces } = request;
    const { names } = this.#job;
    const done = await acme.order({
      ...{ names, csr, url, replaces, signal: this.#signal },
      prover: await this.#parts.makeProver(this.#job, this.#authority.caaIssuer.identities),
      asNew: () => this.#asNew(),
      begun: (orderUrl) => this.#keep(request, orderUrl),
    });
    await this.#finish(request, done);
    return undefined;
  }

  /** The order that is under way here, if what was kept of it is whole. */
  async #takenUp(): Promise<Request | undefined> {
    const { order, names, csr: deviceCsr, subject, purpose } = this.#job;
    if (order === undefined) return undefined;
    const csr = Buffer.from(order.csr ?? deviceCsr ?? '', 'base64');
    const here = order.ca === this.#authority.name && judgeCsr(csr, names).ok;
    if (here && (purpose === 'device' || this.#opens(order.key, subject))) {
      this.state.begun = 'begun';
      return { csr, key: order.key, url: order.url };
    }
    await this.#held(abandonOrder(this.#job, this.#parts.now()));
    return undefined;
  }

  #opens(key: string | undefined, subject: Hostname): boolean {
    if (key === undefined) return false;
    try {
      this.#parts.envelope.open(key, aboutCertificate(subject));
      return true;
    } catch {
      return false;
    }
  }

  async #new(acme: AcmeAuthority): Promise<Request | Later> {
    const { registry, envelope, now } = this.#parts;
    const { purpose, subject, names, csr: deviceCsr } = this.#job;
    await this.#consented();
    const { replaces, exempt } = this.#replacing(acme);
    const spent = await registry.write(spendOrder(this.#cost(exempt)));
    if (!spent.ok) return this.#later(spent);
    this.state.begun = 'spent';
    if (purpose === 'device') {
      return { csr: Buffer.from(deviceCsr ?? '', 'base64'), key: undefined, replaces };
    }
    const { keyPem, csr } = await makeCsr(names);
    const judged = judgeCsr(csr, names);
    if (judged.ok) await registry.write(keepOwnKey(judged.keyId, now()));
    return { csr, key: envelope.seal(keyPem, aboutCertificate(subject)), replaces };
  }

  #cost(exempt: boolean): OrderSpending {
    const { zone, now } = this.#parts;
    return spending(this.#job, this.#authority, { zone, exempt, nowMs: now() });
  }

  /** A renewal that the authority takes for none. */
  async #asNew(): Promise<void> {
    const cost = this.#cost(true);
    const spent = await this.#parts.registry.write(spendAsNew(cost));
    if (!spent.ok) throw new NoRoom(this.#later(spent));
  }

  #later(refusal: Extract<Spent, { ok: false }>): Later {
    const place = { ca: this.#authority.name, zone: this.#parts.zone };
    return noRoom(this.#job, place, refusal);
  }

  /** What is told to be replaced, where that can be told; in its window it is in no budget. */
  #replacing({ features }: AcmeAuthority): { replaces?: string | undefined; exempt: boolean } {
    if (!features.renewalInfo) return { exempt: false };
    const { replaces, inWindow } = replacing(this.#job, this.#authority.name, this.#parts.now());
    return { replaces, exempt: replaces !== undefined && inWindow };
  }

  async #consented(): Promise<void> {
    const { purpose, subject } = this.#job;
    if (purpose !== 'domain' || this.#parts.mayOrder === undefined) return;
    const consent = await this.#parts.mayOrder(subject);
    if (!consent.ok) throw new NotNow(consent.why, consent.rests ?? false);
  }

  async #keep({ csr, key }: Request, url: string): Promise<void> {
    this.state.begun = 'begun';
    const order = { ca: this.#authority.name, url, key: this.#current(key) };
    await this.#held(keepOrder(this.#job, { ...order, csr: csr.toString('base64') }));
  }

  async #finish(
    { key }: Request,
    { chainPem: chain, url: orderUrl }: { readonly chainPem: string; readonly url: string },
  ): Promise<void> {
    const { log, now, ended } = this.#parts;
    const ca = this.#authority.name;
    const { serial, notBeforeMs, notAfterMs } = readChain(chain);
    const renewMs = renewAtMs({ notBeforeMs, notAfterMs }, undefined, seedOf(serial));
    const { names, subject, purpose } = this.#job;
    const sealed = this.#current(key) ?? null;
    await this.#held(
      finishWork(this.#job, {
        ...{ ca, orderUrl, serial, chain, key: sealed, notBeforeMs, notAfterMs },
        ...{ names, renewAtMs: renewMs, nowMs: now() },
      }),
    );
    this.#authority.rest.answered();
    ended(ca, 'issued');
    const notAfter = new Date(notAfterMs).toISOString();
    log.info({ subject, purpose, ca, serial, notAfter }, 'a certificate was issued');
  }

  /** Under the key that seals now: it may be another one than when the order was begun. */
  #current(key: string | undefined): string | undefined {
    const { envelope } = this.#parts;
    if (key === undefined || envelope.isCurrent(key)) return key;
    return envelope.reseal(key, aboutCertificate(this.#job.subject));
  }

  /** What only the holder of the job may write. */
  async #held(work: ReturnType<typeof keepOrder>): Promise<void> {
    if (!(await this.#parts.registry.write(work))) throw new LeaseLost();
  }
}
