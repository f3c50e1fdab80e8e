// What a device asks about the names that it has: their list, other names, an end; a veto against a new
// key that wants one; a new key of its own; its addresses at home.
import type { FastifyInstance } from 'fastify';
import { isoTime } from '../protocol/iso-time.ts';
import { acceptKeyRotation } from '../protocol/key-rotation.ts';
import { also } from '../registry/deed.ts';
import { setLanAddresses } from '../registry/deeds/lan-addresses.ts';
import { vetoRecovery } from '../registry/deeds/recovery.ts';
import { release } from '../registry/deeds/release.ts';
import { rename } from '../registry/deeds/rename.ts';
import { rotateKey } from '../registry/deeds/rotate-key.ts';
import { namesOfDevice } from '../registry/device-standing.ts';
import { dueMs } from '../registry/recovery-due.ts';
import { deviceNameOf, WAITS_FOR_MAIL } from './device-claims.ts';
import type { DeviceRouteParts } from './device-routes.ts';
import { problem } from './problem.ts';

export function nameRoutes(server: FastifyInstance, parts: DeviceRouteParts): void {
  standingRoute(server, parts);
  changeRoutes(server, parts);
  keyRoute(server, parts);
  const { registry, identityOf } = parts;
  server.put<{ Body: { addresses: string[] } }>(
    '/v1/device/lan',
    { schema: LAN_SCHEMA },
    async (request, reply) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const { addresses } = request.body;
      await registry.perform(setLanAddresses({ thumbprint, addresses }));
      return reply.code(204).send();
    },
  );
}

function standingRoute(server: FastifyInstance, parts: DeviceRouteParts): void {
  const { registry, identityOf } = parts;
  server.get('/v1/device', { schema: STANDING_SCHEMA }, async (request) => {
    const { thumbprint } = identityOf(request).deviceKey;
    const names = await registry.read(namesOfDevice(thumbprint));
    const { snapshot } = registry;
    const nowMs = Date.now();
    return {
      enrolled: snapshot.admissible(thumbprint) !== undefined,
      names: names.map(({ name, state, untilMs, successor }) => ({
        ...{ name, state, successor },
        ...(untilMs === undefined ? {} : { until: isoTime(untilMs) }),
      })),
      recoveries: snapshot.recoveriesAgainst(thumbprint).map((each) => ({
        ...{ id: each.id, name: each.name, dueAt: isoTime(dueMs(each, nowMs)) },
        waitsForMail: each.waitsForMail,
      })),
    };
  });
}

function changeRoutes(server: FastifyInstance, parts: DeviceRouteParts): void {
  const { registry, identityOf, notices } = parts;
  server.post<{ Params: { name: string }; Body: { to: string } }>(
    '/v1/device/names/:name/rename',
    { schema: RENAME_SCHEMA },
    async (request) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const name = deviceNameOf(request.params.name);
      const to = deviceNameOf(request.body.to);
      const deed = rename({ name, to, by: { kind: 'device', thumbprint } });
      const renamed = await registry.perform(also(deed, (done) => [notices.renamed(name, done)]));
      return { name: renamed.name, formerUntil: isoTime(renamed.formerUntilMs) };
    },
  );
  server.post<{ Params: { name: string } }>(
    '/v1/device/names/:name/release',
    { schema: RELEASE_SCHEMA },
    async (request, reply) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const name = deviceNameOf(request.params.name);
      await registry.perform(release({ name, by: { kind: 'device', thumbprint } }));
      return reply.code(204).send();
    },
  );
  server.post<{ Params: { id: string } }>(
    '/v1/device/recoveries/:id/veto',
    { schema: VETO_SCHEMA },
    async (request, reply) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const { id } = request.params;
      const deed = vetoRecovery({ id, by: { kind: 'device', thumbprint } });
      await registry.perform(
        also(deed, ({ ownerId, name }) => [
          notices.recoveryEnded(ownerId, { name, how: 'vetoed' }),
        ]),
      );
      return reply.code(204).send();
    },
  );
}

function keyRoute(server: FastifyInstance, parts: DeviceRouteParts): void {
  const { registry, identityOf, hostname } = parts;
  server.post<{ Body: { newKey: string; proof: string } }>(
    '/v1/device/key',
    { schema: KEY_SCHEMA },
    async (request) => {
      const { thumbprint } = identityOf(request).deviceKey;
      const { newKey: text, proof } = request.body;
      const rotation = { host: hostname, oldThumbprint: thumbprint };
      const newKey = await acceptKeyRotation(proof, text, rotation);
      if (newKey === undefined) throw problem('wrong-proof', 400, ...WRONG_PROOF);
      return { names: await registry.perform(rotateKey({ thumbprint, newKey })) };
    },
  );
}

const WRONG_PROOF = [
  'The new key has not signed that it takes the place of this one.',
  'Sign the proof with the new key.',
] as const;

const NAME = { type: 'string', minLength: 1, maxLength: 63 } as const;
const TIME = { type: 'string', format: 'date-time' } as const;
const TEXT = { type: 'string' } as const;
const DONE = { 204: { type: 'null', description: 'Done.' } } as const;

const NAME_PARAMS = {
  type: 'object',
  required: ['name'],
  properties: { name: NAME },
} as const;

const STANDING_SCHEMA = {
  summary: 'The names of this device, and who asks for them.',
  response: {
    200: {
      type: 'object',
      description: 'Empty lists when the key is not enrolled.',
      required: ['enrolled', 'names', 'recoveries'],
      properties: {
        enrolled: { type: 'boolean' },
        names: {
          type: 'array',
          items: {
            type: 'object',
            required: ['name', 'state'],
            properties: {
              name: TEXT,
              state: { enum: ['held', 'former'] },
              until: TIME,
              successor: TEXT,
            },
          },
        },
        recoveries: {
          type: 'array',
          items: {
            type: 'object',
            required: ['id', 'name', 'dueAt', 'waitsForMail'],
            properties: { id: TEXT, name: TEXT, dueAt: TIME, waitsForMail: WAITS_FOR_MAIL },
          },
        },
      },
    },
  },
} as const;

const RENAME_SCHEMA = {
  summary: 'Gives the device another name. The old one leads there for a time.',
  params: NAME_PARAMS,
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['to'],
    properties: { to: NAME },
  },
  response: {
    200: {
      type: 'object',
      description: 'The name, and until when the old one leads to it.',
      required: ['name', 'formerUntil'],
      properties: { name: TEXT, formerUntil: TIME },
    },
  },
} as const;

const RELEASE_SCHEMA = {
  summary: 'Gives a name up. Nobody else gets it before its quarantine is over.',
  params: NAME_PARAMS,
  response: DONE,
} as const;

const VETO_SCHEMA = {
  summary: 'Keeps a name from going to another key.',
  params: {
    type: 'object',
    required: ['id'],
    properties: { id: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' } },
  },
  response: DONE,
} as const;

const KEY_SCHEMA = {
  summary: 'Gives everything of this key to a new one, and bars this one.',
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['newKey', 'proof'],
    properties: {
      newKey: { type: 'string', minLength: 1, maxLength: 128 },
      proof: { type: 'string', minLength: 1, maxLength: 4_096 },
    },
  },
  response: {
    200: {
      type: 'object',
      description: 'The names that have gone along.',
      required: ['names'],
      properties: { names: { type: 'array', items: TEXT } },
    },
  },
} as const;

const LAN_SCHEMA = {
  summary: 'Tells the addresses of the device at home, all of them; none takes them away.',
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['addresses'],
    properties: {
      addresses: { type: 'array', maxItems: 64, items: { type: 'string', maxLength: 64 } },
    },
  },
  response: DONE,
} as const;
