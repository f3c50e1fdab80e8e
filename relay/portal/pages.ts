// The owners' pages: what the API does, for people with a browser. Each change is a form, answered by
// leading to the page that shows it; a refusal is shown with the form, or as a page that leads back.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { endListedSession, endOtherSessions, listSessions } from '../registry/account.ts';
import { listHistory } from '../registry/listings.ts';
import { code, email, id, name, object } from './api-schemas.ts';
import { offeredContent, transferContent } from './claim-page.ts';
import { claimPages } from './claim-routes.ts';
import { domainPages } from './domains-routes.ts';
import type { Content } from './html.ts';
import { ownName, ownNames } from './name-view.ts';
import { nameContent, namesContent } from './names-page.ts';
import { deviceName } from './owner-deeds.ts';
import type { OwnerParts } from './owner-parts.ts';
import { type MenuPlace, notice, sendPage } from './page.ts';
import { refusalOf } from './problem.ts';
import { sessionsContent } from './sessions-page.ts';

const PAGE_LIMITS = {
  /** Deeds of a name that its page shows; the API has them all. */
  historyRows: 20,
} as const;

/** What has just happened, by the word that a form leads on with. */
const DONE: Readonly<Record<string, string>> = {
  bound: 'The device has its name now.',
  recovering: 'The move to the new device has begun.',
  renamed: 'Renamed. The old name leads here for a while.',
  released: 'The name is given up.',
  accepted: 'The name is yours now.',
  vetoed: 'The move was stopped. The name stays with its device.',
  withdrawn: 'Called off.',
  denied: 'The device was sent away.',
  ended: 'Done.',
};

const done = { type: 'string', enum: Object.keys(DONE) };
type Done = { Querystring: { done?: string } };
type ByName = { Params: { name: string } };
type ById = { Params: { id: string } };

export function ownerPages(server: FastifyInstance, parts: OwnerParts): void {
  server.addHook('onRequest', parts.sessions.require);
  server.addHook('onRequest', parts.spend.session);
  namesPages(server, parts);
  namePage(server, parts);
  nameForms(server, parts);
  transferPages(server, parts);
  recoveryForms(server, parts);
  sessionPages(server, parts);
  claimPages(server, parts);
  domainPages(server, parts);
}

/** Sends a page of somebody who is signed in. */
function sendOwnerPage(
  parts: OwnerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  page: { readonly title: string; readonly content: Content; readonly place: MenuPlace },
): FastifyReply {
  const { owner } = parts.sessions.of(request);
  return sendPage(reply, { ...page, owner: owner.email ?? 'signed in' });
}

function doneNotice(word: string | undefined): Content {
  const words = word === undefined ? undefined : DONE[word];
  return words !== undefined && notice(words);
}

function namesPages(server: FastifyInstance, parts: OwnerParts): void {
  const { registry, sessions, clockMs, zone, urlOf } = parts;
  const schema = { querystring: object({ done }, ['done']) };
  server.get<Done>('/', { schema }, async (request, reply) => {
    const ownerId = sessions.of(request).owner.id;
    const nowMs = clockMs();
    const names = await ownNames(registry, { ownerId, nowMs });
    const content = [doneNotice(request.query.done), namesContent(names, { zone, urlOf, nowMs })];
    return sendOwnerPage(parts, request, reply, { title: 'My names', content, place: 'names' });
  });
}

function namePage(server: FastifyInstance, parts: OwnerParts): void {
  const { registry, sessions, clockMs, zone, urlOf } = parts;
  const schema = { params: object({ name }), querystring: object({ done }, ['done']) };
  server.get<ByName & Done>('/names/:name', { schema }, async (request, reply) => {
    const ownerId = sessions.of(request).owner.id;
    const nowMs = clockMs();
    const wanted = deviceName(request.params.name);
    const own = await ownName(registry, { ownerId, nowMs, name: wanted });
    const limit = PAGE_LIMITS.historyRows;
    const deeds = await registry.read(listHistory({ name: own.name, presentTenure: true, limit }));
    const content = [
      doneNotice(request.query.done),
      nameContent(own, deeds, { zone, urlOf, nowMs, ownerId }),
    ];
    return sendOwnerPage(parts, request, reply, { title: own.name, content, place: 'names' });
  });
}

function nameForms(server: FastifyInstance, { deeds, sessions }: OwnerParts): void {
  const renaming = { params: object({ name }), body: object({ to: name }) };
  server.post<ByName & { Body: { to: string } }>(
    '/names/:name/rename',
    { schema: renaming },
    async (request, reply) => {
      const { to } = request.body;
      const ownerId = sessions.of(request).owner.id;
      const renamed = await deeds.rename(ownerId, request.params.name, to.trim());
      return reply.redirect(`/names/${renamed.name}?done=renamed`, 303);
    },
  );
  const releasing = { params: object({ name }), body: object({ confirm: name }) };
  server.post<ByName & { Body: { confirm: string } }>(
    '/names/:name/release',
    { schema: releasing },
    async (request, reply) => {
      const ownerId = sessions.of(request).owner.id;
      await deeds.release(ownerId, request.params.name, request.body.confirm);
      return reply.redirect('/?done=released', 303);
    },
  );
}

function transferPages(server: FastifyInstance, parts: OwnerParts): void {
  const { deeds, sessions, spend } = parts;
  const offering = { params: object({ name }), body: object({ toEmail: email }) };
  server.post<ByName & { Body: { toEmail: string } }>(
    '/names/:name/transfer',
    { schema: offering, preHandler: spend.codes },
    async (request, reply) => {
      const { toEmail } = request.body;
      const wanted = request.params.name;
      const receipt = await deeds.offer(sessions.of(request).owner.id, wanted, toEmail);
      const content = offeredContent({ ...receipt, name: wanted, toEmail });
      return sendOwnerPage(parts, request, reply, { title: wanted, content, place: 'names' });
    },
  );
  const withdrawing = { params: object({ name }), body: object({}) };
  server.post<ByName>(
    '/names/:name/transfer/withdraw',
    { schema: withdrawing },
    async (request, reply) => {
      const wanted = deviceName(request.params.name);
      await deeds.withdrawOffer(sessions.of(request).owner.id, wanted);
      return reply.redirect(`/names/${wanted}?done=withdrawn`, 303);
    },
  );
  const show = (request: FastifyRequest, reply: FastifyReply, content: Content) =>
    sendOwnerPage(parts, request, reply, { title: 'Take over a name', content, place: 'transfer' });
  server.get('/transfer', { schema: { querystring: object({}) } }, (request, reply) =>
    show(request, reply, transferContent()),
  );
  server.post<{ Body: { code: string } }>(
    '/transfer',
    { schema: { body: object({ code }) }, preHandler: spend.codes },
    async (request, reply) => {
      try {
        const taken = await deeds.accept(sessions.of(request).owner.id, request.body.code);
        return reply.redirect(`/names/${taken}?done=accepted`, 303);
      } catch (error) {
        const refused = refusalOf(error);
        return show(request, reply.code(refused.status), transferContent(refused));
      }
    },
  );
}

function recoveryForms(server: FastifyInstance, { deeds, sessions }: OwnerParts): void {
  const schema = { params: object({ id }), body: object({}) };
  server.post<ById>('/recoveries/:id/veto', { schema }, async (request, reply) => {
    await deeds.veto(sessions.of(request).owner.id, request.params.id);
    return reply.redirect('/?done=vetoed', 303);
  });
  server.post<ById>('/recoveries/:id/withdraw', { schema }, async (request, reply) => {
    await deeds.withdrawRecovery(sessions.of(request).owner.id, request.params.id);
    return reply.redirect('/?done=withdrawn', 303);
  });
}

function sessionPages(server: FastifyInstance, parts: OwnerParts): void {
  const { registry, sessions, clockMs } = parts;
  const schema = { querystring: object({ done }, ['done']) };
  server.get<Done>('/sessions', { schema }, async (request, reply) => {
    const { owner, id: current } = sessions.of(request);
    const found = await registry.read(listSessions(owner.id, clockMs()));
    const content = [doneNotice(request.query.done), sessionsContent(found, current)];
    return sendOwnerPage(parts, request, reply, { title: 'Sessions', content, place: 'sessions' });
  });
  const ending = { params: object({ id }), body: object({}) };
  server.post<ById>('/sessions/:id/end', { schema: ending }, async (request, reply) => {
    const { owner } = sessions.of(request);
    await registry.write(endListedSession(owner.id, request.params.id));
    return reply.redirect('/sessions?done=ended', 303);
  });
  server.post('/sessions/end-others', { schema: { body: object({}) } }, async (request, reply) => {
    const { owner, id: current } = sessions.of(request);
    await registry.write(endOtherSessions(owner.id, current));
    return reply.redirect('/sessions?done=ended', 303);
  });
}
