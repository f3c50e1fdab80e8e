// The owners' API: devices that show a code and wait for somebody to confirm it. Codes travel in bodies,
// never in addresses, for those are written down on the way.
import type { FastifyInstance } from 'fastify';
import { isoTime } from '../protocol/iso-time.ts';
import { claimView, code, moment, name, object, route, text } from './api-schemas.ts';
import { type OwnerParts, typistOf } from './owner-parts.ts';

export function claimRoutes(server: FastifyInstance, parts: OwnerParts): void {
  const { deeds, spend } = parts;
  const preHandler = spend.codes;
  const looking = route('The device that shows this code.', {
    body: object({ code }),
    answer: claimView,
  });
  server.post<{ Body: { code: string } }>(
    '/v1/claims/look',
    { schema: looking, preHandler },
    async (request) => {
      const claim = await deeds.lookAtClaim(typistOf(parts, request), request.body.code);
      return {
        device: claim.thumbprint,
        software: claim.software ?? null,
        address: claim.address,
        wantedName: claim.wantedName ?? null,
        openedAt: isoTime(claim.openedAtMs),
        expiresAt: isoTime(claim.expiresAtMs),
      };
    },
  );

  const approving = route(
    'Gives the device a name; one that you have with another device begins a recovery.',
    {
      body: object({ code, name }),
      answer: object(
        { state: { type: 'string', enum: ['bound', 'recovering'] }, name: text, dueAt: moment },
        ['dueAt'],
      ),
    },
  );
  server.post<{ Body: { code: string; name: string } }>(
    '/v1/claims/approve',
    { schema: approving, preHandler },
    async (request) => {
      const { code: typed, name: chosen } = request.body;
      const outcome = await deeds.approve(typistOf(parts, request), typed, chosen);
      const due = outcome.kind === 'recovering' ? { dueAt: isoTime(outcome.dueAtMs) } : {};
      return { state: outcome.kind, name: outcome.name, ...due };
    },
  );

  const denying = route('Sends the device away.', { body: object({ code }) });
  server.post<{ Body: { code: string } }>(
    '/v1/claims/deny',
    { schema: denying, preHandler },
    async (request, reply) => {
      await deeds.deny(typistOf(parts, request), request.body.code);
      return reply.code(204).send();
    },
  );
}
