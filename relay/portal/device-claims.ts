// How a device comes by a name: it shows a short code that a person confirms on the portal, or it
// redeems the code of an order that it was shipped with.
import type { FastifyInstance } from 'fastify';
import { type DeviceName, deviceNameFault, parseDeviceName } from '../../dns/name.ts';
import { isoTime } from '../protocol/iso-time.ts';
import { claimState, openClaim } from '../registry/deeds/claim.ts';
import { redeemOrder } from '../registry/deeds/redeem-order.ts';
import type { DeviceRouteParts } from './device-routes.ts';
import { type ProblemError, problem } from './problem.ts';

/** How long a person takes to look up from the browser again. */
const POLL_SECONDS = 3;

export function claimRoutes(server: FastifyInstance, parts: DeviceRouteParts): void {
  const { registry, identityOf, portalOrigin } = parts;
  server.post<{ Body: { name?: string } }>(
    '/v1/device/claims',
    { schema: OPEN_SCHEMA },
    async (request, reply) => {
      const { deviceKey, software } = identityOf(request);
      const { name } = request.body;
      const wantedName = name === undefined ? undefined : deviceNameOf(name);
      const { id, code, expiresAtMs } = await registry.perform(
        openClaim({
          deviceKey,
          software,
          address: request.ip,
          ...(wantedName === undefined ? {} : { wantedName }),
        }),
      );
      reply.code(201);
      return {
        ...{ id, code, url: `${portalOrigin()}/claim?code=${code}` },
        expiresAt: isoTime(expiresAtMs),
        // A device may have no clock.
        expiresInSeconds: Math.max(0, Math.floor((expiresAtMs - Date.now()) / 1_000)),
        pollSeconds: POLL_SECONDS,
      };
    },
  );
  server.get<{ Params: { id: string } }>(
    '/v1/device/claims/:id',
    { schema: STATE_SCHEMA },
    async (request) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const { id } = request.params;
      const found = await registry.read(claimState({ id, thumbprint, nowMs: Date.now() }));
      if (found === undefined) throw CLAIM_UNKNOWN;
      const { state, name, dueAtMs, waitsForMail } = found;
      const due = dueAtMs === undefined ? {} : { dueAt: isoTime(dueAtMs), waitsForMail };
      return { state, name, ...due };
    },
  );
  server.post<{ Body: { code: string; serial?: string } }>(
    '/v1/device/orders/redeem',
    { schema: REDEEM_SCHEMA },
    async (request) => {
      const { deviceKey } = identityOf(request);
      const outcome = await registry.perform(
        redeemOrder({ ...request.body, deviceKey, from: request.ip }),
      );
      if (outcome.kind === 'wrong-code') throw WRONG_CODE;
      const { name, domain } = outcome;
      return { name, domain };
    },
  );
}

/** The name in its canonical form; throws the problem that it has. */
export function deviceNameOf(text: string): DeviceName {
  const name = parseDeviceName(text);
  if (name !== undefined) return name;
  const detail = `The name ${deviceNameFault(text) ?? 'is malformed'}.`;
  throw problem('invalid-field', 400, detail, 'Choose another name.');
}

const CLAIM_UNKNOWN: ProblemError = problem(
  'claim-unknown',
  404,
  'This device has no such claim.',
  'Open a new one.',
);

/** The same for one that was never given, has expired, was used, or belongs to another device. */
const WRONG_CODE: ProblemError = problem(
  'wrong-code',
  404,
  'This code cannot be redeemed: it is mistyped, used, expired, or meant for another device.',
  'Check it against what the vendor has sent, or ask the vendor for another one.',
);

/** Longer texts are no names, and no codes. */
const NAME = { type: 'string', minLength: 1, maxLength: 63 } as const;
/** Of a recovery. */
export const WAITS_FOR_MAIL = {
  type: 'boolean',
  description: 'Its time begins when the mail server has the letter about it: not before `dueAt`.',
} as const;
const TIME = { type: 'string', format: 'date-time' } as const;

const OPEN_SCHEMA = {
  summary: 'Opens a claim: a short code for a person to confirm, which replaces an earlier one.',
  body: { type: 'object', additionalProperties: false, properties: { name: NAME } },
  response: {
    201: {
      type: 'object',
      description: 'The claim is open.',
      required: ['id', 'code', 'url', 'expiresAt', 'expiresInSeconds', 'pollSeconds'],
      properties: {
        id: { type: 'string' },
        code: { type: 'string' },
        url: { type: 'string' },
        expiresAt: TIME,
        expiresInSeconds: { type: 'integer' },
        pollSeconds: { type: 'integer' },
      },
    },
  },
} as const;

const STATE_SCHEMA = {
  summary: 'How the claim stands.',
  params: {
    type: 'object',
    required: ['id'],
    properties: { id: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' } },
  },
  response: {
    200: {
      type: 'object',
      description: 'Its state, and the name once there is one.',
      required: ['state'],
      properties: {
        state: { enum: ['open', 'approved', 'recovering', 'denied', 'expired'] },
        name: { type: 'string' },
        dueAt: TIME,
        waitsForMail: WAITS_FOR_MAIL,
      },
    },
  },
} as const;

const REDEEM_SCHEMA = {
  summary: 'Redeems the code of an order: the device has the name from then on.',
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['code'],
    properties: {
      code: { type: 'string', minLength: 1, maxLength: 64 },
      serial: { type: 'string', minLength: 1, maxLength: 64 },
    },
  },
  response: {
    200: {
      type: 'object',
      description: 'The name, and the own domain that was ordered with it.',
      required: ['name'],
      properties: { name: { type: 'string' }, domain: { type: 'string' } },
    },
  },
} as const;
