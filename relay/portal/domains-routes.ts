// The pages for own domains: list and form, one domain, its checks, its end. The page of a domain looks
// again by itself while something is open; what a person types is on pages that stand still.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { DomainReport } from '../domains/report.ts';
import type { By } from '../registry/actor.ts';
import { domain, name, object, workspace } from './api-schemas.ts';
import { addTyped, chosenDomain, isLive, ownReport } from './domain-view.ts';
import {
  type DomainsView,
  type DomainView,
  domainContent,
  domainPath,
  domainsContent,
  removeContent,
  type TypedForm,
} from './domains-page.ts';
import { ownNames } from './name-view.ts';
import type { OwnerParts } from './owner-parts.ts';
import { notice, type PageText, sendPage } from './page.ts';
import { problem, refusalOf } from './problem.ts';

const DOMAIN_LIMITS = {
  /** Long enough to select a value; short enough for whoever waits for what he has just entered. */
  refreshSeconds: 15,
  /** A domain that somebody had just looked at is looked at again by then. */
  joinedSeconds: 6,
} as const;

/** What has just happened, by the word that a form leads on with. */
const DONE = {
  added: 'Added. Now its DNS has to say so.',
  checked: 'Checked.',
  joined: 'Somebody had just looked. It is looked at again in seconds, and shown here.',
  removed: 'Removed. Take its entries out at your DNS provider, too.',
} as const;

type DoneWord = keyof typeof DONE;
type ByDone = { Querystring: { done?: DoneWord } };
type ByDomain = {
  Params: { domain: string };
  Querystring: { name?: string; done?: DoneWord; still?: 'yes' };
};

const doneWord = { type: 'string', enum: Object.keys(DONE) };
const yes = { type: 'string', enum: ['yes'] };
const params = object({ domain });
const chosen = { params, querystring: object({ name }, ['name']) };

export function domainPages(server: FastifyInstance, parts: OwnerParts): void {
  listPages(server, parts);
  domainPage(server, parts);
  removePages(server, parts);
}

function listPages(server: FastifyInstance, parts: OwnerParts): void {
  const { domains, zone } = parts;
  const querystring = object({ done: doneWord }, ['done']);
  server.get<ByDone>('/domains', { schema: { querystring } }, (request, reply) =>
    showList(parts, request, reply, { done: request.query.done }),
  );
  const body = object({ name, domain, workspace, wildcard: yes }, ['workspace', 'wildcard']);
  server.post<{ Body: TypedForm }>('/domains', { schema: { body } }, async (request, reply) => {
    const typed = request.body;
    const wildcard = typed.wildcard !== undefined;
    try {
      const by = ownerBy(parts, request);
      const added = await addTyped(domains, zone, { ...typed, wildcard, by });
      return reply.redirect(`${domainPath(added)}&done=added`, 303);
    } catch (error) {
      const refused = refusalOf(error);
      return showList(parts, request, reply.code(refused.status), { typed, refused });
    }
  });
}

async function showList(
  parts: OwnerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  {
    done,
    ...form
  }: Pick<DomainsView, 'typed' | 'refused'> & { readonly done?: DoneWord | undefined },
): Promise<FastifyReply> {
  const { domains, registry, sessions, clockMs, zone, origin } = parts;
  const ownerId = sessions.of(request).owner.id;
  const reports = await domains.list(ownerBy(parts, request));
  const all = await ownNames(registry, { ownerId, nowMs: clockMs() });
  const names = all.filter(({ state }) => state === 'held').map((each) => each.name);
  const content = domainsContent(reports, { zone, origin: origin(), names, ...form });
  return show(parts, request, reply, { title: 'My domains', content, done });
}

function domainPage(server: FastifyInstance, parts: OwnerParts): void {
  const { domains, zone, origin, clockMs } = parts;
  const querystring = object({ name, done: doneWord, still: yes }, ['name', 'done', 'still']);
  server.get<ByDomain>(
    '/domains/:domain',
    { schema: { params, querystring } },
    async (request, reply) => {
      const report = await reportOf(parts, request);
      const { done, still } = request.query;
      const nowMs = done === 'joined' ? clockMs() : undefined;
      const view = { zone, origin: origin(), nowMs, ...againOf(report, still !== undefined) };
      return show(parts, request, reply, {
        title: report.domain,
        content: domainContent(report, view),
        done,
        again: refreshOf(report, request.query),
      });
    },
  );
  server.post<ByDomain>(
    '/domains/:domain/check',
    { schema: { ...chosen, body: object({}) } },
    async (request, reply) => {
      const wanted = chosenDomain({ ...request.query, ...request.params }, zone);
      const report = await domains.check({ ...wanted, by: ownerBy(parts, request) });
      const done: DoneWord = report.recent === undefined ? 'checked' : 'joined';
      return reply.redirect(`${domainPath(report)}&done=${done}`, 303);
    },
  );
}

/** When the page looks again by itself; `undefined`: not. */
function refreshOf(report: DomainReport, { done, still }: ByDomain['Querystring']) {
  const { joinedSeconds, refreshSeconds } = DOMAIN_LIMITS;
  const path = domainPath(report);
  if (still !== undefined) return undefined;
  if (done === 'joined') return { seconds: joinedSeconds, path };
  return isLive(report) ? undefined : { seconds: refreshSeconds, path };
}

/** A page that changes by itself is a burden for who has it read to him: it can be made to stand still. */
function againOf(report: DomainReport, still: boolean): Pick<DomainView, 'again'> {
  if (isLive(report)) return {};
  const href = domainPath(report);
  const often = `every ${DOMAIN_LIMITS.refreshSeconds} seconds`;
  return still
    ? { again: { words: 'This page stands still.', change: `Let it look again ${often}`, href } }
    : {
        again: {
          words: `This page looks again ${often}.`,
          change: 'Let it stand still',
          href: `${href}&still=yes`,
        },
      };
}

function removePages(server: FastifyInstance, parts: OwnerParts): void {
  const { domains } = parts;
  server.get<ByDomain>('/domains/:domain/remove', { schema: chosen }, async (request, reply) => {
    const report = await reportOf(parts, request);
    return show(parts, request, reply, { title: TAKE_AWAY, content: removeContent(report) });
  });
  const confirmed = { ...chosen, body: object({ confirm: domain }) };
  server.post<ByDomain & { Body: { confirm: string } }>(
    '/domains/:domain/remove',
    { schema: confirmed },
    async (request, reply) => {
      const report = await reportOf(parts, request);
      if (request.body.confirm.trim().toLowerCase() !== report.domain) {
        const content = removeContent(report, NOT_CONFIRMED.problem);
        return show(parts, request, reply.code(422), { title: TAKE_AWAY, content });
      }
      const wanted = chosenDomain(report, parts.zone);
      await domains.remove({ ...wanted, by: ownerBy(parts, request) });
      return reply.redirect('/domains?done=removed', 303);
    },
  );
}

const TAKE_AWAY = 'Remove a domain';

function ownerBy({ sessions }: OwnerParts, request: FastifyRequest): By {
  return { kind: 'owner', ownerId: sessions.of(request).owner.id };
}

function reportOf(parts: OwnerParts, request: FastifyRequest<ByDomain>): Promise<DomainReport> {
  const wanted = chosenDomain({ ...request.query, ...request.params }, parts.zone);
  return ownReport(parts.domains, { ...wanted, by: ownerBy(parts, request) });
}

function show(
  { sessions }: OwnerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  {
    done,
    content,
    ...page
  }: Pick<PageText, 'title' | 'content' | 'again'> & { readonly done?: DoneWord | undefined },
): FastifyReply {
  const owner = sessions.of(request).owner.email ?? 'signed in';
  const told = [done !== undefined && notice(DONE[done]), content];
  return sendPage(reply, { ...page, content: told, owner, place: 'domains' });
}

const NOT_CONFIRMED = problem(
  'not-confirmed',
  422,
  'The domain was not typed once more, or differently. Nothing has changed.',
  'Type the domain that you want to remove.',
);
