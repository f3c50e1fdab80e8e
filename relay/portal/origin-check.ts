// Whether a request that changes something was made by a page of the portal. Browsers say where a
// request comes from and let no page lie about it; a request that does not say is refused, so that an
// old browser is no hole. SameSite cookies are the second wall, a body type that needs a preflight
// the third.
import type { FastifyRequest } from 'fastify';
import { problem } from './problem.ts';
import { hasTwo } from './server.ts';

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Throws when another site may have made it. The host itself has been checked before. */
export function checkOrigin(request: FastifyRequest): void {
  if (SAFE_METHODS.has(request.method)) return;
  const { host, origin, 'sec-fetch-site': site } = request.headers;
  const own =
    origin?.toLowerCase() === `https://${host?.toLowerCase()}` && !hasTwo(request, 'origin');
  if (!own || (site !== undefined && site !== 'same-origin')) throw FOREIGN;
}

const FOREIGN = problem(
  'foreign-origin',
  403,
  'This request was not made by a page of this host, or does not say so.',
  'Open the portal and do it there; a program sends "Origin" with the address of the portal.',
);
