// The owners' API: names, what became of them, and what their owner does with them.
import type { FastifyInstance } from 'fastify';
import { isoTime } from '../protocol/iso-time.ts';
import { listHistory } from '../registry/listings.ts';
import {
  code,
  count,
  email,
  historyView,
  list,
  moment,
  name,
  nameView,
  object,
  route,
  text,
} from './api-schemas.ts';
import { nameJson, ownName, ownNames } from './name-view.ts';
import { deviceName } from './owner-deeds.ts';
import type { OwnerParts } from './owner-parts.ts';

const NAME_LIMITS = {
  /** Deeds of a name on one page of its history. */
  historyRows: 100,
} as const;

type ByName = { Params: { name: string } };
const params = object({ name });

export function nameRoutes(server: FastifyInstance, parts: OwnerParts): void {
  const { registry, sessions, clockMs, urlOf } = parts;
  const all = route('Your names, by name.', { answer: object({ names: list(nameView) }) });
  server.get('/v1/names', { schema: all }, async (request) => {
    const ownerId = sessions.of(request).owner.id;
    const names = await ownNames(registry, { ownerId, nowMs: clockMs() });
    return { names: names.map((each) => nameJson(each, urlOf)) };
  });

  const one = route('One of your names.', { params, answer: nameView });
  server.get<ByName>('/v1/names/:name', { schema: one }, async (request) => {
    const ownerId = sessions.of(request).owner.id;
    const wanted = deviceName(request.params.name);
    return nameJson(await ownName(registry, { ownerId, nowMs: clockMs(), name: wanted }), urlOf);
  });

  historyRoute(server, parts);
  deedRoutes(server, parts);
  transferRoutes(server, parts);
}

function historyRoute(server: FastifyInstance, { registry, sessions, clockMs }: OwnerParts): void {
  const schema = route('What became of one of your names, the newest first.', {
    params,
    querystring: object({ before: count }, ['before']),
    answer: object({ history: list(historyView) }),
  });
  server.get<ByName & { Querystring: { before?: string } }>(
    '/v1/names/:name/history',
    { schema },
    async (request) => {
      const ownerId = sessions.of(request).owner.id;
      const own = await ownName(registry, {
        ownerId,
        nowMs: clockMs(),
        name: deviceName(request.params.name),
      });
      const { before } = request.query;
      const query = { name: own.name, presentTenure: true, limit: NAME_LIMITS.historyRows };
      const deeds = await registry.read(
        listHistory(before === undefined ? query : { ...query, before: Number(before) }),
      );
      return {
        history: deeds.map((deed) => ({
          id: deed.id,
          at: isoTime(deed.atMs),
          what: deed.what,
          by: whoDid(deed.actor, ownerId),
          device: deed.thumbprint ?? null,
        })),
      };
    },
  );
}

function deedRoutes(server: FastifyInstance, { deeds, sessions }: OwnerParts): void {
  const renaming = route('Gives your device another name; the old one leads there for a while.', {
    params,
    body: object({ to: name }),
    answer: object({ name: text, formerUntil: moment }),
  });
  server.post<ByName & { Body: { to: string } }>(
    '/v1/names/:name/rename',
    { schema: renaming },
    async (request) => {
      const ownerId = sessions.of(request).owner.id;
      const done = await deeds.rename(ownerId, request.params.name, request.body.to);
      return { name: done.name, formerUntil: isoTime(done.formerUntilMs) };
    },
  );

  const releasing = route('Gives the name up. It cannot be taken by others for a while.', {
    params,
    body: object({ confirm: { ...name, description: 'The name once more.' } }),
  });
  server.post<ByName & { Body: { confirm: string } }>(
    '/v1/names/:name/release',
    { schema: releasing },
    async (request, reply) => {
      const ownerId = sessions.of(request).owner.id;
      await deeds.release(ownerId, request.params.name, request.body.confirm);
      return reply.code(204).send();
    },
  );
}

function transferRoutes(server: FastifyInstance, parts: OwnerParts): void {
  const { deeds, sessions, spend } = parts;
  const offering = route('Offers the name to the owner of a mail address.', {
    params,
    body: object({ toEmail: email }),
    answer: object({ code: { ...text, description: 'Shown once, here.' }, expiresAt: moment }),
    status: 201,
  });
  server.post<ByName & { Body: { toEmail: string } }>(
    '/v1/names/:name/transfer',
    { schema: offering, preHandler: spend.codes },
    async (request, reply) => {
      const ownerId = sessions.of(request).owner.id;
      const { code: secret, expiresAtMs } = await deeds.offer(
        ownerId,
        request.params.name,
        request.body.toEmail,
      );
      return reply.code(201).send({ code: secret, expiresAt: isoTime(expiresAtMs) });
    },
  );

  const withdrawing = route('Takes an offer back.', { params });
  server.delete<ByName>(
    '/v1/names/:name/transfer',
    { schema: withdrawing },
    async (request, reply) => {
      await deeds.withdrawOffer(sessions.of(request).owner.id, request.params.name);
      return reply.code(204).send();
    },
  );

  const accepting = route('Takes a name over that was offered to your mail address.', {
    body: object({ code }),
    answer: object({ name: text }),
  });
  server.post<{ Body: { code: string } }>(
    '/v1/transfers/accept',
    { schema: accepting, preHandler: spend.codes },
    async (request) => ({
      name: await deeds.accept(sessions.of(request).owner.id, request.body.code),
    }),
  );
}

/** Who did something, without telling one owner who another is. */
export function whoDid(actor: string, ownerId: string) {
  if (actor === `owner:${ownerId}`) return 'you';
  if (actor.startsWith('owner:')) return 'owner';
  if (actor.startsWith('device:')) return 'device';
  return actor === 'clock' ? 'clock' : 'operator';
}
