// The owners' API: domains of their own, what to enter for them, and how far each is.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { By } from '../registry/actor.ts';
import { domain, domainView, flag, list, name, object, route, workspace } from './api-schemas.ts';
import { addTyped, chosenDomain, ownReport, reportJson } from './domain-view.ts';
import type { OwnerParts } from './owner-parts.ts';

type ByDomain = { Params: { domain: string }; Querystring: { name?: string } };
type Adding = {
  Body: { name: string; domain: string; workspace?: string; wildcard?: boolean };
};
const chosen = {
  params: object({ domain }),
  querystring: object(
    { name: { ...name, description: 'Of which name, when several have the domain.' } },
    ['name'],
  ),
};

export function domainRoutes(server: FastifyInstance, parts: OwnerParts): void {
  const { domains, sessions, zone, origin } = parts;
  const by = (request: FastifyRequest): By => ({
    kind: 'owner',
    ownerId: sessions.of(request).owner.id,
  });
  const chosenBy = (request: FastifyRequest<ByDomain>) =>
    chosenDomain({ ...request.query, ...request.params }, zone);
  const all = route('Domains of your own, by domain.', {
    answer: object({ domains: list(domainView) }),
  });
  server.get('/v1/domains', { schema: all }, async (request) => {
    const reports = await domains.list(by(request));
    return { domains: reports.map((report) => reportJson(report, origin())) };
  });

  const one = route('One of your domains, as it was found last.', {
    ...chosen,
    answer: domainView,
  });
  server.get<ByDomain>('/v1/domains/:domain', { schema: one }, async (request) => {
    const wanted = { ...chosenBy(request), by: by(request) };
    return reportJson(await ownReport(domains, wanted), origin());
  });

  const adding = route('Lets a domain lead to one of your names. The same again is the same.', {
    body: object({ name, domain, workspace, wildcard: flag }, ['workspace', 'wildcard']),
    answer: domainView,
    status: 201,
  });
  server.post<Adding>('/v1/domains', { schema: adding }, async (request, reply) => {
    const { wildcard = false, ...typed } = request.body;
    const report = await addTyped(domains, zone, { ...typed, wildcard, by: by(request) });
    return reply.code(201).send(reportJson(report, origin()));
  });

  const checking = route(
    'Looks at a domain now; when somebody has just looked, tells what he found, and looks again soon.',
    {
      ...chosen,
      answer: domainView,
    },
  );
  server.post<ByDomain>('/v1/domains/:domain/check', { schema: checking }, async (request) => {
    const wanted = { ...chosenBy(request), by: by(request) };
    return reportJson(await domains.check(wanted), origin());
  });

  const removing = route('Takes a domain away. It stops working at once.', chosen);
  server.delete<ByDomain>('/v1/domains/:domain', { schema: removing }, async (request, reply) => {
    await domains.remove({ ...chosenBy(request), by: by(request) });
    return reply.code(204).send();
  });
}
