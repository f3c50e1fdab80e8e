// The pages for adding a device: type its code, look at it, give it a name or send it away. A link that
// a device shows only fills the code in: a page of somebody else that leads there tries nothing.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { code, object } from './api-schemas.ts';
import { claimContent, codeContent } from './claim-page.ts';
import type { Content } from './html.ts';
import { ownNames } from './name-view.ts';
import { type OwnerParts, typistOf } from './owner-parts.ts';
import { sendPage } from './page.ts';
import { type Problem, refusalOf } from './problem.ts';

/** A name or nothing; judged when it is used. */
const typed = { type: 'string', maxLength: 64 };

/** As a device writes it into its link. */
const shown = { type: 'string', pattern: '^[0-9A-Za-z-]{1,48}$' };

type Approval = { Body: { code: string; choice?: string; name?: string } };
type ByCode = { Body: { code: string } };

export function claimPages(server: FastifyInstance, parts: OwnerParts): void {
  const { deeds, spend } = parts;
  const preHandler = spend.codes;
  const prefilled = { querystring: object({ code: shown }, ['code']) };
  server.get<{ Querystring: { code?: string } }>(
    '/claim',
    { schema: prefilled },
    (request, reply) => show(parts, request, reply, codeContent(request.query.code ?? '')),
  );

  const body = object({ code });
  server.post<ByCode>('/claim', { schema: { body }, preHandler }, async (request, reply) => {
    const { code: secret } = request.body;
    try {
      return await showDevice(parts, request, reply, { code: secret });
    } catch (error) {
      const refused = refusalOf(error);
      return show(parts, request, reply.code(refused.status), codeContent(secret, refused));
    }
  });

  const approving = { body: object({ code, choice: typed, name: typed }, ['choice', 'name']) };
  server.post<Approval>(
    '/claim/approve',
    { schema: approving, preHandler },
    async (request, reply) => {
      const { code: secret, choice = '', name = '' } = request.body;
      try {
        const chosen = choice === '' ? name.trim() : choice;
        const outcome = await deeds.approve(typistOf(parts, request), secret, chosen);
        return reply.redirect(`/names/${outcome.name}?done=${outcome.kind}`, 303);
      } catch (error) {
        const refused = refusalOf(error);
        if (refused.kind === 'wrong-code') throw error;
        return showDevice(parts, request, reply.code(refused.status), { code: secret, refused });
      }
    },
  );

  server.post<ByCode>('/claim/deny', { schema: { body }, preHandler }, async (request, reply) => {
    await deeds.deny(typistOf(parts, request), request.body.code);
    return reply.redirect('/?done=denied', 303);
  });
}

async function showDevice(
  parts: OwnerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  { code: secret, refused }: { readonly code: string; readonly refused?: Problem },
): Promise<FastifyReply> {
  const { deeds, registry, clockMs, zone } = parts;
  const typist = typistOf(parts, request);
  const claim = await deeds.lookAtClaim(typist, secret);
  const nowMs = clockMs();
  const names = await ownNames(registry, { ownerId: typist.ownerId, nowMs });
  const { recoveryDelayMs } = registry.policy;
  const view = { code: secret, names, zone, nowMs, recoveryDelayMs };
  const content = claimContent(claim, refused === undefined ? view : { ...view, refused });
  return show(parts, request, reply, content);
}

function show(
  { sessions }: OwnerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  content: Content,
): FastifyReply {
  const owner = sessions.of(request).owner.email ?? 'signed in';
  return sendPage(reply, { title: 'Add a device', content, owner, place: 'claim' });
}
