// The owners' host: the API below /v1, the pages, and signing in. Who may ask is decided before a body
// is read: the host, how often, from which origin, and whose session it is, in this order.
import formbody from '@fastify/formbody';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apart } from './apart.ts';
import { ownerApi } from './api.ts';
import { BUDGETS, budget, keepBudgets } from './budgets.ts';
import { checkOrigin } from './origin-check.ts';
import { ownerPages } from './pages.ts';
import type { Problem } from './problem.ts';
import { sendProblemPage } from './problem-page.ts';
import { makeServer, type ServerOptions, sendProblem } from './server.ts';
import { type SignInParts, signInRoutes } from './sign-in-routes.ts';

export type OwnerServerParts = Omit<SignInParts, 'spend'> &
  Pick<ServerOptions, 'hostname' | 'accessLog'>;

/** Resolves when it can be asked. */
export async function makeOwnerServer(options: OwnerServerParts): Promise<FastifyInstance> {
  const { sessions } = options;
  const server = makeServer({ ...options, refuse });
  await keepBudgets(server);
  const bySession = (request: FastifyRequest): string => sessions.of(request).owner.id;
  const parts: SignInParts = {
    ...options,
    spend: {
      session: budget(server, BUDGETS.session, bySession),
      codes: budget(server, BUDGETS.codes, bySession),
      signIn: budget(server, BUDGETS.signIn),
    },
  };
  server.addHook('onRequest', budget(server, BUDGETS.address));
  server.addHook('onRequest', async (request) => checkOrigin(request));
  void server.register(apart(ownerApi, parts));
  void server.register(apart(pageServer, parts));
  await server.ready();
  return server;
}

function pageServer(pages: FastifyInstance, parts: SignInParts): void {
  pages.removeAllContentTypeParsers();
  void pages.register(formbody);
  void pages.register(apart(signInRoutes, parts));
  void pages.register(apart(ownerPages, parts));
}

/** Programs are told by JSON, people by a page. */
function refuse(found: Problem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const forPrograms = request.url.startsWith('/v1/') || request.url === '/openapi.json';
  return forPrograms ? sendProblem(found, reply) : sendProblemPage(found, request, reply);
}
