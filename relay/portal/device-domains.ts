// What a device asks about its own domains: their list, one more, a look at one, an end.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { By } from '../registry/actor.ts';
import { domain, domainView, flag, list, name, object, workspace } from './api-schemas.ts';
import type { DeviceRouteParts } from './device-routes.ts';
import { addTyped, chosenDomain, reportJson } from './domain-view.ts';

type ByDomain = { Params: { domain: string }; Body: { name?: string } };
type Adding = {
  Body: { name: string; domain: string; workspace?: string; wildcard?: boolean };
};

export function domainRoutes(server: FastifyInstance, parts: DeviceRouteParts): void {
  const { domains, zone, identityOf, portalOrigin } = parts;
  const by = (request: FastifyRequest): By => ({
    kind: 'device',
    thumbprint: identityOf(request).deviceKey.thumbprint,
  });
  server.get('/v1/device/domains', { schema: LIST_SCHEMA }, async (request) => {
    const reports = await domains.list(by(request));
    return { domains: reports.map((report) => reportJson(report, portalOrigin())) };
  });
  server.post<Adding>('/v1/device/domains', { schema: ADD_SCHEMA }, async (request, reply) => {
    const { wildcard = false, ...typed } = request.body;
    const report = await addTyped(domains, zone, { ...typed, wildcard, by: by(request) });
    return reply.code(201).send(reportJson(report, portalOrigin()));
  });
  server.post<ByDomain>(
    '/v1/device/domains/:domain/check',
    { schema: CHECK_SCHEMA },
    async (request) => {
      const chosen = chosenDomain({ ...request.body, ...request.params }, zone);
      return reportJson(await domains.check({ ...chosen, by: by(request) }), portalOrigin());
    },
  );
  server.post<ByDomain>(
    '/v1/device/domains/:domain/remove',
    { schema: REMOVE_SCHEMA },
    async (request, reply) => {
      const chosen = chosenDomain({ ...request.body, ...request.params }, zone);
      await domains.remove({ ...chosen, by: by(request) });
      return reply.code(204).send();
    },
  );
}

const chosen = {
  params: object({ domain }),
  body: object({ name: { ...name, description: 'Of which name, when several have it.' } }, [
    'name',
  ]),
};
const REPORT = { ...domainView, description: 'What to enter for it, and how far it is.' };

const LIST_SCHEMA = {
  summary: 'The own domains of this device, by domain.',
  response: { 200: { ...object({ domains: list(domainView) }), description: 'All of them.' } },
};

const ADD_SCHEMA = {
  summary: 'Lets a domain lead to a name of this device. The same again is the same.',
  body: object({ name, domain, workspace, wildcard: flag }, ['workspace', 'wildcard']),
  response: { 201: REPORT },
};

const CHECK_SCHEMA = {
  summary:
    'Looks at a domain now; when somebody has just looked, tells what he found, and looks again soon.',
  ...chosen,
  response: { 200: REPORT },
};

const REMOVE_SCHEMA = {
  summary: 'Takes a domain away. It stops working at once.',
  ...chosen,
  response: { 204: { type: 'null', description: 'Done.' } },
};
