// The owners' API: JSON below /v1 on the portal's host, for whoever is signed in there. Every route has
// a schema for what comes in and what goes out (api-schemas.ts); the OpenAPI document is made of them.
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { isoTime } from '../protocol/iso-time.ts';
import { endListedSession, endOtherSessions, listSessions } from '../registry/account.ts';
import { listRecoveries } from '../registry/listings.ts';
import { dueMs } from '../registry/recovery-due.ts';
import { apart } from './apart.ts';
import { claimRoutes } from './api-claims.ts';
import { domainRoutes } from './api-domains.ts';
import { nameRoutes } from './api-names.ts';
import {
  id,
  list,
  OPENAPI,
  object,
  orNull,
  recoveryView,
  route,
  sessionView,
  text,
} from './api-schemas.ts';
import type { OwnerParts } from './owner-parts.ts';
import { problem } from './problem.ts';

export function ownerApi(server: FastifyInstance, parts: OwnerParts): void {
  server.removeContentTypeParser('text/plain');
  void server.register(swagger, { openapi: OPENAPI });
  void server.register(apart(documentRoute, undefined));
  void server.register(apart(signedInRoutes, parts));
}

function documentRoute(server: FastifyInstance): void {
  server.get('/openapi.json', { schema: { hide: true } }, () => server.swagger());
}

function signedInRoutes(server: FastifyInstance, parts: OwnerParts): void {
  server.addHook('onRequest', parts.sessions.require);
  server.addHook('onRequest', parts.spend.session);
  accountRoutes(server, parts);
  nameRoutes(server, parts);
  domainRoutes(server, parts);
  claimRoutes(server, parts);
  recoveryRoutes(server, parts);
}

function accountRoutes(server: FastifyInstance, { registry, sessions, clockMs }: OwnerParts): void {
  const me = route('Who is signed in.', { answer: object({ id: text, email: orNull(text) }) });
  server.get('/v1/me', { schema: me }, (request) => {
    const { owner } = sessions.of(request);
    return { id: owner.id, email: owner.email ?? null };
  });

  const all = route('Where you are signed in, the newest first.', {
    answer: object({ sessions: list(sessionView) }),
  });
  server.get('/v1/sessions', { schema: all }, async (request) => {
    const { owner, id: current } = sessions.of(request);
    const found = await registry.read(listSessions(owner.id, clockMs()));
    return {
      sessions: found.map((each) => ({
        id: each.id,
        current: each.id === current,
        issuedAt: isoTime(each.issuedAtMs),
        expiresAt: isoTime(each.expiresAtMs),
      })),
    };
  });

  const end = route('Ends a session; also this one.', { params: object({ id }) });
  server.delete<{ Params: { id: string } }>(
    '/v1/sessions/:id',
    { schema: end },
    async (request, reply) => {
      const { owner } = sessions.of(request);
      if (!(await registry.write(endListedSession(owner.id, request.params.id)))) throw NO_SESSION;
      return reply.code(204).send();
    },
  );

  const others = route('Ends all sessions but this one.', {});
  server.delete('/v1/sessions', { schema: others }, async (request, reply) => {
    const { owner, id: current } = sessions.of(request);
    await registry.write(endOtherSessions(owner.id, current));
    return reply.code(204).send();
  });
}

function recoveryRoutes(server: FastifyInstance, parts: OwnerParts): void {
  const { registry, sessions, deeds, clockMs } = parts;
  const all = route('Recoveries of your names that wait.', {
    answer: object({ recoveries: list(recoveryView) }),
  });
  server.get('/v1/recoveries', { schema: all }, async (request) => {
    const { owner } = sessions.of(request);
    const found = await registry.read(listRecoveries({ ownerId: owner.id }));
    const nowMs = clockMs();
    return {
      recoveries: found.map((each) => ({
        id: each.id,
        name: each.name,
        oldDevice: each.oldThumbprint,
        newDevice: each.newThumbprint,
        begunAt: isoTime(each.begunAtMs),
        dueAt: isoTime(dueMs(each, nowMs)),
        waitsForMail: each.waitsForMail,
      })),
    };
  });

  const params = object({ id });
  type ById = { Params: { id: string } };
  const veto = route('The name stays with its device; for some days nobody can ask again.', {
    params,
  });
  server.post<ById>('/v1/recoveries/:id/veto', { schema: veto }, async (request, reply) => {
    await deeds.veto(sessions.of(request).owner.id, request.params.id);
    return reply.code(204).send();
  });

  const withdraw = route('Calls a recovery off that you began.', { params });
  server.post<ById>('/v1/recoveries/:id/withdraw', { schema: withdraw }, async (request, reply) => {
    await deeds.withdrawRecovery(sessions.of(request).owner.id, request.params.id);
    return reply.code(204).send();
  });
}

const NO_SESSION = problem(
  'session-unknown',
  404,
  'You have no such session. It may be over.',
  'See the list of your sessions.',
);
