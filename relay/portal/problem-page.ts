// A refusal or a fault as a page: what happened, what to do, and the way back.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { html } from './html.ts';
import { sendPage } from './page.ts';
import type { Problem } from './problem.ts';
import { returnPath, signInPath } from './return-path.ts';

/** Whoever is not signed in is led to where he can be, and comes back afterwards. */
export function sendProblemPage(
  found: Problem,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (found.kind === 'signed-out' && request.method === 'GET') {
    return reply.redirect(signInPath(returnPath(request.url)), 303);
  }
  reply.code(found.status);
  if (found.retryAfterSeconds !== undefined) {
    reply.header('retry-after', String(found.retryAfterSeconds));
  }
  const back = backPath(request.url);
  return sendPage(reply, {
    title: TITLES[found.status] ?? 'That did not work',
    content: html`<section class="problem"><p>${found.detail}</p><p>${found.next}</p>
<p><a class="button" href="${back}">${back.startsWith('/sign-in') ? 'Sign in' : 'Back'}</a></p>
</section>`,
  });
}

const TITLES: Readonly<Record<number, string>> = {
  401: 'You are signed out',
  404: 'Not found',
  410: 'This link is over',
  429: 'Too many requests',
  500: 'Something failed here',
  502: 'The provider does not answer',
  503: 'Not at the moment',
};

/** The page that a form is on, or the first one. */
function backPath(url: string): string {
  const [path = '/'] = url.split('?', 1);
  if (path.startsWith('/sign-in')) return '/sign-in';
  if (path.startsWith('/claim')) return '/claim';
  if (/^\/domains(\/[^/]*)?$/.test(path)) return '/domains';
  const [, page] = /^(\/(?:names|domains)\/[a-z0-9.-]+)\/./.exec(path) ?? [];
  return returnPath(page);
}
