// A certificate for a key that never leaves its device. The device sends a request that its key has
// signed (CSR); which names are in the certificate the registry decides, and the CSR must ask for just
// those: {alice.vendor.dev, *.alice.vendor.dev} of a name that the asking device holds. It asks again
// until the certificate is there. The relay orders when a device asks and never by itself: when a
// certificate is to be renewed, its device comes with a new key, and one that is gone costs nothing. When
// that is may change while the certificate lives, as when its authority is about to revoke it: the device
// asks for it now and then, and when it is called (relay/certificates/device-calls.ts).
import { createHash, X509Certificate } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { CertificateName, CertificateSource } from '../../certs/certificate.ts';
import { judgeCsr } from '../../certs/csr.ts';
import { type DeviceName, type Hostname, parseHostname } from '../../dns/name.ts';
import { isoTime } from '../protocol/iso-time.ts';
import {
  DEVICE_KEY_LIMITS,
  type KeyOutcome,
  type ShownKey,
  showDeviceKey,
} from '../registry/certificates/device-keys.ts';
import type { Registry } from '../registry/registry.ts';
import { deviceNameOf } from './device-claims.ts';
import type { IdentityOf } from './device-routes.ts';
import { ProblemError, problem } from './problem.ts';

/** Who orders certificates, or signs them. */
export interface DeviceCertificates {
  /** The relay's own certificates. */
  readonly source: Pick<CertificateSource, 'load'>;
  /**
   * The certificate for the key of this CSR, which was judged. Orders it when there is none for this very
   * key; the same again is the same order, and another CSR takes the place of the one before.
   */
  deviceCertificate(wanted: WantedDeviceCertificate): Promise<DeviceCertificateState>;
  /** When the device shall come with a new key; `undefined`: no certificate of this device is known. */
  deviceRenewalMs(certificate: CertificateOfDevice): Promise<number | undefined>;
}

export interface CertificateOfDevice {
  /** Of the device's identity key. */
  readonly thumbprint: string;
  readonly name: DeviceName;
}

export interface WantedDeviceCertificate extends CertificateOfDevice {
  /** DER. */
  readonly csr: Buffer;
}

export type DeviceCertificateState =
  | {
      readonly kind: 'issued';
      /** PEM, the leaf first. */
      readonly chain: string;
      /** When the device shall come with a new key. */
      readonly renewAtMs: number;
    }
  | {
      readonly kind: 'ordered';
      readonly retryAfterMs: number;
      /** Why the last attempt failed, as a sentence. */
      readonly problem?: string | undefined;
    };

export interface CertificateRouteParts {
  readonly registry: Registry;
  readonly zone: Hostname;
  readonly identityOf: IdentityOf;
  readonly certificates: DeviceCertificates;
}

const ROUTE_LIMITS = {
  /** Of a CSR in base64: one with two names and a P-384 key has 700. */
  csrCharsMax: 4_096,
  /** A device that waits asks no sooner, and no later, than this. */
  retrySecondsMin: 1,
  retrySecondsMax: 86_400,
} as const;

export function certificateRoutes(server: FastifyInstance, parts: CertificateRouteParts): void {
  renewalRoute(server, parts);
  const { registry, zone, identityOf, certificates } = parts;
  server.post<{ Body: { name: string; csr: string } }>(
    '/v1/device/certificate',
    { schema: CERTIFICATE_SCHEMA },
    async (request, reply) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const name = deviceNameOf(request.body.name);
      const csr = Buffer.from(request.body.csr, 'base64');
      const subject = subjectOf(name, zone);
      const names: CertificateName[] = [subject, `*.${subject}`];
      const judged = judgeCsr(csr, names);
      if (!judged.ok) throw refused(judged.fault, names);
      const { keyId } = judged;
      if (await isRelayKey(keyId, { subject, zone, source: certificates.source })) throw KNOWN;
      const nowMs = Date.now();
      const shown: ShownKey = { name, thumbprint, keyId, csr, nowMs };
      const outcome = await registry.write(showDeviceKey(shown));
      if (outcome.kind !== 'admitted') throw notAdmitted(outcome, shown);
      const wanted = { thumbprint, name, csr: outcome.csr };
      const state = await certificates.deviceCertificate(wanted);
      if (state.kind === 'issued') {
        return { chain: state.chain, renewAt: isoTime(state.renewAtMs) };
      }
      reply.code(202);
      const { problem: why } = state;
      return {
        retryAfterSeconds: seconds(state.retryAfterMs),
        ...(why === undefined ? {} : { problem: why }),
      };
    },
  );
}

function renewalRoute(server: FastifyInstance, parts: CertificateRouteParts): void {
  const { registry, identityOf, certificates } = parts;
  server.get<{ Querystring: { name: string } }>(
    '/v1/device/certificate',
    { schema: RENEWAL_SCHEMA },
    async (request) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const name = deviceNameOf(request.query.name);
      if (registry.snapshot.deviceOf(name)?.thumbprint !== thumbprint) throw notHeld(name);
      if (registry.snapshot.admissible(thumbprint) === undefined) {
        throw problem('device-barred', 409, ...BARRED);
      }
      const renewAtMs = await certificates.deviceRenewalMs({ thumbprint, name });
      if (renewAtMs === undefined) throw UNKNOWN;
      return { renewAt: isoTime(renewAtMs) };
    },
  );
}

function subjectOf(name: DeviceName, zone: Hostname): Hostname {
  const subject = parseHostname(`${name}.${zone}`);
  if (subject === undefined) throw new Error(`The name ${name}.${zone} is too long.`);
  return subject;
}

/** Whether the relay answers visitors of this name, or of the zone, with that very key. */
async function isRelayKey(
  keyId: string,
  at: { readonly subject: Hostname; readonly zone: Hostname } & Pick<DeviceCertificates, 'source'>,
): Promise<boolean> {
  for (const subject of [at.subject, at.zone]) {
    const own = await at.source.load(subject);
    if (own !== undefined && keyIdOf(own.certPem) === keyId) return true;
  }
  return false;
}

function keyIdOf(certPem: string): string {
  const der = new X509Certificate(certPem).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64url');
}

function notAdmitted(
  outcome: Exclude<KeyOutcome, { kind: 'admitted' }>,
  { name, nowMs }: ShownKey,
): ProblemError {
  switch (outcome.kind) {
    case 'not-held':
      return notHeld(name);
    case 'barred':
      return problem('device-barred', 409, ...BARRED);
    case 'of-another':
      return KNOWN;
    case 'followed':
      return FOLLOWED;
    case 'too-many':
      return new ProblemError({
        kind: 'too-many-keys',
        status: 429,
        detail:
          `This device has shown ${DEVICE_KEY_LIMITS.keysPerDay} keys for certificates of ${name} ` +
          'within a day.',
        next: `Go on with the newest of them, or try again after ${isoTime(outcome.untilMs)}.`,
        retryAfterSeconds: seconds(outcome.untilMs - nowMs),
      });
  }
}

function notHeld(name: DeviceName): ProblemError {
  const detail = `This device does not hold the name ${name}.`;
  const next = 'Ask for a name that it holds: "waygate device status" shows them.';
  return problem('name-unknown', 404, detail, next);
}

function refused(fault: string, names: readonly CertificateName[]): ProblemError {
  const next = `Ask with a new P-256 key for exactly ${names.join(' and ')}.`;
  return problem('csr-refused', 400, fault, next);
}

function seconds(ms: number): number {
  const { retrySecondsMin, retrySecondsMax } = ROUTE_LIMITS;
  return Math.min(retrySecondsMax, Math.max(retrySecondsMin, Math.ceil(ms / 1_000)));
}

/** The same whose ever it is. */
const KNOWN: ProblemError = problem(
  'certificate-key-known',
  409,
  'This key is that of another certificate.',
  'Make a new key on this device, one for each name, and ask with it.',
);

const UNKNOWN: ProblemError = problem(
  'certificate-unknown',
  404,
  'The relay knows no certificate of this device for this name, or follows none.',
  'Renew the certificate by its own dates.',
);

const FOLLOWED: ProblemError = problem(
  'certificate-key-followed',
  409,
  'This device has shown a newer key for this name, and an older one gets no certificate any more.',
  'Ask with the newest key, or make another one.',
);

const BARRED = [
  'The vendor has revoked the key of this device, so it gets no certificates.',
  'Make a new device key, and claim the name with it.',
] as const;

const NAME = { type: 'string', minLength: 1, maxLength: 63 } as const;

const RENEWAL_SCHEMA = {
  summary: 'From when on the device shall come with a new key, as it is known now.',
  querystring: {
    type: 'object',
    additionalProperties: false,
    required: ['name'],
    properties: { name: NAME },
  },
  response: {
    200: {
      type: 'object',
      description: 'In the past: now.',
      required: ['renewAt'],
      properties: { renewAt: { type: 'string', format: 'date-time' } },
    },
  },
} as const;

const CERTIFICATE_SCHEMA = {
  summary:
    'A certificate for a key of the device: ordered by the first request, fetched by others.',
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['name', 'csr'],
    properties: {
      name: NAME,
      csr: {
        type: 'string',
        description: 'PKCS #10, DER, base64.',
        pattern: '^[A-Za-z0-9+/]+={0,2}$',
        maxLength: ROUTE_LIMITS.csrCharsMax,
      },
    },
  },
  response: {
    200: {
      type: 'object',
      description: 'The certificate for this key, and when to come with a new one.',
      required: ['chain', 'renewAt'],
      properties: {
        chain: { type: 'string', description: 'PEM, without the root.' },
        renewAt: { type: 'string', format: 'date-time' },
      },
    },
    202: {
      type: 'object',
      description: 'It is being ordered: send the same again after this time.',
      required: ['retryAfterSeconds'],
      properties: {
        retryAfterSeconds: { type: 'integer' },
        problem: { type: 'string', description: 'Why the last attempt failed.' },
      },
    },
  },
} as const;
