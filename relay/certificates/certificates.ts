// Everything about certificates that the relay needs, whichever authority signs them: those of relay.yaml,
// or the local one when there is none.
import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import { caFile, openAuthority } from '../../certs/authority.ts';
import type { CertificateSource } from '../../certs/certificate.ts';
import { Chooser } from '../../certs/chooser.ts';
import { judgeCsr } from '../../certs/csr.ts';
import { Envelope } from '../../certs/envelope.ts';
import { LocalCertificates } from '../../certs/local-certificates.ts';
import { openStore } from '../../certs/store.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { type RelayConfig, relayFiles } from '../config.ts';
import type { CaaIssuer } from '../domains/caa.ts';
import type { CertificateState } from '../domains/checks.ts';
import { tlsSettings } from '../entrance/tls-settings.ts';
import type {
  CertificateOfDevice,
  DeviceCertificateState,
  WantedDeviceCertificate,
} from '../portal/device-certificates.ts';
import { certificateFor, type WantedCertificate } from '../registry/certificates/present.ts';
import { isGivenUp } from '../registry/certificates/revocation-listing.ts';
import { wantForDevice } from '../registry/deeds/wanted-certificate.ts';
import type { Registry } from '../registry/registry.ts';
import { AcmeCertificates, type WantedForOwnDomain } from './acme-certificates.ts';
import { ChallengeAnswers } from './answers.ts';
import type { AttemptParts } from './attempt.ts';
import { deviceRenewalMs, isWithDevice } from './device-work.ts';
import { endedSubjects } from './ended-subjects.ts';
import { exposeCertificates } from './metrics.ts';
import { subjectsOf } from './subjects.ts';
import { TicketKeys } from './ticket-keys.ts';

export interface CertificatesParts {
  readonly config: Pick<RelayConfig, 'zone' | 'id' | 'state' | 'certificates' | 'http'>;
  readonly registry: Registry;
  readonly log: Logger;
  /** Asked before the certificate of an own domain is ordered or renewed. */
  readonly mayOrder?: AttemptParts['mayOrder'];
  readonly now?: () => number;
}

/** How far the certificate of an own domain is. */
export interface DomainCertificate extends CertificateState {
  readonly state: 'none' | 'ordering' | 'issued' | 'failing';
}

export interface Certificates {
  readonly source: CertificateSource;
  readonly chooser: Chooser;
  readonly ticketKeys: TicketKeys;
  /** What authorities are answered that look at own domains. */
  readonly answers: ChallengeAnswers;
  /** The root that people have to trust, where there is a local authority. */
  readonly caFile: string | undefined;
  /** Absent: there is a local authority, which has nothing to order. */
  readonly acme: AcmeCertificates | undefined;
  deviceCertificate(wanted: WantedDeviceCertificate): Promise<DeviceCertificateState>;
  deviceRenewalMs(certificate: CertificateOfDevice): Promise<number | undefined>;
  domainCertificate(domain: string): Promise<DomainCertificate>;
  /** A certificate for an own domain is wanted; the same again changes nothing. */
  wantDomain(wanted: WantedForOwnDomain): Promise<void>;
  /** How CAA records name the authorities and our accounts there, as far as they have told. */
  caaIssuers(): readonly CaaIssuer[];
  /** There may be work to do, which somebody has asked for. */
  wake(): void;
  /** Makes their figures part of these registries. */
  expose(registers: MetricsRegistry[]): void;
  /** Resolves when the zone can be served; until then `waits` is told why it cannot be. */
  start(stopping?: AbortSignal, waits?: (why: string) => void): Promise<void>;
  stop(): Promise<void>;
}

export async function openCertificates(parts: CertificatesParts): Promise<Certificates> {
  const { config, registry, log, now = Date.now, mayOrder } = parts;
  const files = relayFiles(config);
  const store = await openStore(files.certificates);
  const envelope = await Envelope.open(config.certificates.envelopeKeyFile ?? files.envelopeKey);
  const local = config.certificates.authorities.length === 0;
  const signing = local
    ? await openLocal({ ...parts, store })
    : await openAcme({ config, registry, envelope, store, log, now, mayOrder });
  const ticketKeys = new TicketKeys(envelope);
  const { zone } = config;
  const { source } = signing;
  const chooser = new Chooser({
    subjects: (hostname) => subjectsOf(hostname, zone, registry.snapshot),
    settings: (subject) => tlsSettings(subject, ticketKeys.keys),
    edition: () => ticketKeys.day,
    ...{ source, log },
  });
  const stopListening = registry.onChange((...change) => {
    for (const subject of endedSubjects(change, zone)) {
      chooser.forget(subject);
      signing.remove(subject).catch((error: unknown) => {
        log.error(
          { err: error, subject },
          'the certificate of a released name is on the disk still',
        );
      });
    }
  });
  return {
    ...{ ...signing, chooser, ticketKeys },
    answers: new ChallengeAnswers(registry, now),
    expose: (registers) =>
      exposeCertificates({ contexts: () => chooser.size, acme: signing.acme }, registers),
    async stop() {
      stopListening();
      await signing.stop();
    },
  };
}

type Signing = Omit<Certificates, 'chooser' | 'ticketKeys' | 'answers' | 'expose'> & {
  /** Drops the certificate of a name that is nobody's any more. */
  remove(subject: Hostname): Promise<void>;
};

async function openLocal(
  parts: CertificatesParts & { readonly store: Awaited<ReturnType<typeof openStore>> },
): Promise<Signing> {
  const { config, store, log } = parts;
  const { zone } = config;
  const authority = await openAuthority(store, zone);
  const source = new LocalCertificates({ zone, store, authority, log });
  return {
    source,
    caFile: caFile(store, zone),
    acme: undefined,
    remove: (subject) => source.remove(subject),
    async deviceCertificate({ name, csr }) {
      const subject = parseHostname(`${name}.${zone}`);
      if (subject === undefined) throw new Error(`The name ${name}.${zone} is too long.`);
      const judged = judgeCsr(csr, [subject, `*.${subject}`]);
      if (!judged.ok) throw new Error(judged.fault);
      const signed = await authority.sign([subject, `*.${subject}`], judged.publicKeyDer);
      const chain = signed.certPem;
      return { kind: 'issued', chain, renewAtMs: deviceRenewalMs({ chain }) };
    },
    // It keeps no list of them, and revokes none: browsers ask a local authority for no such thing.
    deviceRenewalMs: () => Promise.resolve(undefined),
    domainCertificate: () => Promise.resolve({ state: 'failing', problem: LOCAL_ONLY }),
    wantDomain: () => Promise.resolve(),
    caaIssuers: () => [],
    wake: () => undefined,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}

/** The local CA's name constraints permit the zone and nothing else. */
const LOCAL_ONLY =
  'The local certificate authority of this relay signs for its own zone only. For own domains, name an ' +
  'authority in relay.yaml, below "certificates: authorities".';

async function openAcme(parts: Parameters<typeof AcmeCertificates.open>[0]): Promise<Signing> {
  const { config, registry, now } = parts;
  const acme = await AcmeCertificates.open(parts);
  return {
    ...{ source: acme.source, caFile: undefined, acme },
    remove: (subject) => acme.source.remove(subject),
    async deviceCertificate({ thumbprint, name, csr }) {
      const subject = parseHostname(`${name}.${config.zone}`);
      if (subject === undefined) throw new Error(`The name ${name}.${config.zone} is too long.`);
      const work = { purpose: 'device', subject, thumbprint } as const;
      const text = csr.toString('base64');
      const before = await registry.read(certificateFor(work));
      // Devices ask again and again while they wait: only what is new is a deed.
      if (before?.csr === text) return deviceState(before, now());
      const names = [subject, `*.${subject}`] as const;
      const wanted = { name, subject, thumbprint, names, csr: text, nowMs: now() };
      if (await registry.perform(wantForDevice(wanted))) acme.issuance.wake();
      return deviceState(await registry.read(certificateFor(work)), now());
    },
    async deviceRenewalMs({ thumbprint, name }) {
      const subject = parseHostname(`${name}.${config.zone}`);
      if (subject === undefined) return undefined;
      const work = { purpose: 'device', subject, thumbprint } as const;
      const wanted = await registry.read(certificateFor(work));
      // A name that was given up and taken again: nobody follows what the device has of it any more.
      if (wanted === undefined) return (await registry.read(isGivenUp(work))) ? 0 : undefined;
      const { present, asked } = wanted;
      return present === undefined ? undefined : deviceRenewalMs({ ...present, asked });
    },
    domainCertificate: async (subject) =>
      domainState(
        await registry.read(certificateFor({ purpose: 'domain', subject, thumbprint: '' })),
      ),
    wantDomain: (wanted) => acme.want(wanted),
    caaIssuers: () => acme.authorities.map((each) => each.caaIssuer),
    wake: () => acme.issuance.wake(),
    start: (stopping, waits) => acme.start(stopping, waits),
    stop: () => acme.stop(),
  };
}

const DEVICE_LIMITS = {
  /** An order takes seconds; a device that asks sooner learns nothing. */
  retryMsMin: 5_000,
  /** One whose order has waited for long waits behind others. */
  retryMsMax: 10 * 60_000,
} as const;

function deviceState(wanted: WantedCertificate | undefined, nowMs: number): DeviceCertificateState {
  if (wanted?.present !== undefined && isWithDevice({ ...wanted, purpose: 'device' })) {
    const { present, asked } = wanted;
    const renewAtMs = deviceRenewalMs({ ...present, asked });
    return { kind: 'issued', chain: present.chain, renewAtMs };
  }
  const { retryMsMin, retryMsMax } = DEVICE_LIMITS;
  const untilDueMs = (wanted?.dueAtMs ?? nowMs) - nowMs;
  // A hundred thousand that ask for their first ones together must not ask every few seconds for hours.
  const queueMs = Math.min(retryMsMax, -untilDueMs / 2);
  const retryAfterMs = Math.max(retryMsMin, untilDueMs, queueMs);
  return { kind: 'ordered', retryAfterMs, problem: wanted?.lastError };
}

function domainState(wanted: WantedCertificate | undefined): DomainCertificate {
  if (wanted === undefined) return { state: 'none' };
  const { present, lastError: problem, dueAtMs: nextTryAtMs, attempts } = wanted;
  const notAfterMs = present?.notAfterMs;
  if (attempts > 0) return { state: 'failing', notAfterMs, problem, nextTryAtMs };
  const state = present === undefined ? 'ordering' : 'issued';
  return { state, notAfterMs, problem, nextTryAtMs };
}
