// What devices ask of the relay without a tunnel, on the tunnel's host below /v1/device/. Every request
// but that for a nonce is signed by the device's key (protocol/device-request.ts) before anything in it
// is looked at; the key need not be enrolled, for a device that has no name yet is the one who claims.
import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import type { Domains } from '../domains/domains.ts';
import { type DeviceIdentity, DeviceRequests } from '../protocol/device-request.ts';
import { openChallenge, parseDeviceNonce, tlsExporter } from '../protocol/hello.ts';
import { readRefusal } from '../protocol/hello-failure.ts';
import type { SigningKey } from '../protocol/key.ts';
import type { Registry } from '../registry/registry.ts';
import { closeWords, judgeSoftware, type SoftwarePolicy } from '../software-policy.ts';
import { budget, keepBudgets } from './budgets.ts';
import { certificateRoutes, type DeviceCertificates } from './device-certificates.ts';
import { claimRoutes } from './device-claims.ts';
import { domainRoutes } from './device-domains.ts';
import { nameRoutes } from './device-names.ts';
import type { OwnerNotices } from './owner-notices.ts';
import { ProblemError, problem } from './problem.ts';

export interface DeviceParts {
  readonly zone: Hostname;
  readonly registry: Registry;
  readonly domains: Domains;
  /** `tunnel.<zone>`: whom devices believe to talk to. */
  readonly hostname: Hostname;
  readonly vendorKey: SigningKey;
  /** `https://my.<zone>`, where owners confirm claims; known once the relay listens. */
  readonly portalOrigin: () => string;
  readonly softwarePolicy: SoftwarePolicy;
  /** Owners are told what their devices have done. */
  readonly notices: Pick<OwnerNotices, 'renamed' | 'recoveryEnded'>;
  /** Without it devices get no certificates for keys of their own. */
  readonly certificates?: DeviceCertificates | undefined;
  readonly log: Logger;
}

/** The device that has signed a request. */
export type IdentityOf = (request: FastifyRequest) => DeviceIdentity;

export interface DeviceRouteParts extends DeviceParts {
  readonly identityOf: IdentityOf;
}

const DEVICE_BUDGETS = {
  /** Of one address: a workshop or an office with a hundred devices that wait to be claimed. */
  address: { max: 6_000, timeWindow: 60_000 },
  /** Of one key: a device that waits asks 20 times a minute, a person seldom more. */
  key: { max: 90, timeWindow: 60_000 },
} as const;

export async function deviceRoutes(server: FastifyInstance, parts: DeviceParts): Promise<void> {
  const { vendorKey, softwarePolicy, certificates } = parts;
  const requests = new DeviceRequests(vendorKey);
  const bodies = new WeakMap<FastifyRequest, Buffer>();
  const identities = new WeakMap<FastifyRequest, DeviceIdentity>();
  const identityOf: IdentityOf = (request) => {
    const identity = identities.get(request);
    if (identity === undefined) throw problem('unsigned', 401, ...UNSIGNED);
    return identity;
  };
  await keepBudgets(server);
  const spendByAddress = budget(server, DEVICE_BUDGETS.address);
  const spendByKey = budget(
    server,
    DEVICE_BUDGETS.key,
    (request) => identityOf(request).deviceKey.thumbprint,
  );
  keepBodies(server, bodies);
  server.addHook('onRequest', spendByAddress);
  await server.register(swagger, { openapi: { info: OPENAPI_INFO } });
  nonceRoute(server, requests, parts);
  server.get('/v1/device/openapi.json', { schema: { hide: true } }, () => server.swagger());
  await server.register((signed, _options, done) => {
    signed.addHook('preValidation', async (request) => {
      const judged = await requests.judge(
        request.headers.authorization,
        {
          method: request.method,
          host: parts.hostname,
          path: request.raw.url ?? '',
          body: bodies.get(request) ?? EMPTY,
        },
        { wallMs: Date.now(), monotonicMs: performance.now() },
      );
      if (!judged.ok) throw refusal(judged.fault, judged.message);
      assertSoftware(judged.value.software, softwarePolicy);
      identities.set(request, judged.value);
      await spendByKey(request);
    });
    claimRoutes(signed, { ...parts, identityOf });
    nameRoutes(signed, { ...parts, identityOf });
    domainRoutes(signed, { ...parts, identityOf });
    if (certificates !== undefined)
      certificateRoutes(signed, { ...parts, certificates, identityOf });
    done();
  });
}

/**
 * A device whose clock is wrong cannot tell by a certificate whom it asks. It sends a nonce of its own, as
 * at the start of a tunnel, and gets the same challenge: the vendor's key has signed for this very TLS
 * connection. Whatever device it is, it proves nothing by it.
 */
function nonceRoute(
  server: FastifyInstance,
  requests: DeviceRequests,
  { hostname: relay, vendorKey }: DeviceParts,
): void {
  server.get('/v1/device/nonce', { schema: NONCE_SCHEMA }, async ({ headers, raw }) => {
    const clock = { wallMs: Date.now(), monotonicMs: performance.now() };
    const nonce = requests.nonce(clock.wallMs);
    const field = headers['waygate-nonce'];
    const deviceNonce = parseDeviceNonce(typeof field === 'string' ? field : undefined);
    if (deviceNonce === undefined) return { nonce };
    const facts = { relay, deviceNonce, exporter: tlsExporter(raw.socket), limits: {} };
    const { token: challenge } = await openChallenge(facts, vendorKey, clock);
    return { nonce, challenge };
  });
}

/** The signature is over the bytes of the body, not over what they mean. */
function keepBodies(server: FastifyInstance, bodies: WeakMap<FastifyRequest, Buffer>): void {
  const parseJson = server.getDefaultJsonParser('error', 'error');
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, body, done) => {
      bodies.set(request, body);
      void parseJson(request, body.toString('utf8'), done);
    },
  );
}

function assertSoftware(software: string, policy: SoftwarePolicy): void {
  const found = judgeSoftware(software, policy);
  if (found === undefined) return;
  const words = readRefusal(`ERR_HELLO_SOFTWARE ${closeWords(found)}`)?.message ?? '';
  const next = 'Update the device, and ask again.';
  throw problem('software-refused', 403, words, next);
}

function refusal(fault: string, message: string): ProblemError {
  const cut = message.indexOf('. ') + 1;
  const detail = cut === 0 ? message : message.slice(0, cut);
  const next = cut === 0 ? 'Sign the request anew.' : message.slice(cut).trim();
  const status = fault === 'busy' ? 503 : 401;
  return new ProblemError({
    ...{ kind: fault, status, detail, next },
    ...(fault === 'busy' ? { retryAfterSeconds: BUSY_RETRY_S } : {}),
  });
}

/** As long as a used nonce is remembered. */
const BUSY_RETRY_S = 60;
const EMPTY = Buffer.alloc(0);
const UNSIGNED = ['The request is not signed.', 'Sign it with the key of the device.'] as const;

const OPENAPI_INFO = {
  title: 'Waygate, for devices',
  description:
    'Requests of devices on the host of the tunnel. All but the one for a nonce have the field ' +
    '"Authorization: Waygate JWS", as PROTOCOL.md describes.',
  version: '1',
} as const;

const NONCE_SCHEMA = {
  summary: 'A nonce for one signed request, within a minute.',
  response: {
    200: {
      type: 'object',
      description: 'The nonce.',
      required: ['nonce'],
      properties: {
        nonce: { type: 'string' },
        challenge: {
          type: 'string',
          description: 'Who answers, as in the hello, when the field "Waygate-Nonce" asks for it.',
        },
      },
    },
  },
} as const;
