// What both HTTP servers of the portal share: a fastify without a socket of its own behind a door with
// deadlines (http-door.ts), strict schemas, bounds, problems for answers, and a log line per request
// that holds no query, no cookie, no body.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Logger } from 'pino';
import { addressOwner } from '../entrance/address-count.ts';
import { isFault, type Problem, problem, problemJson, problemOf } from './problem.ts';

export const SERVER_LIMITS = {
  /** The longest form has a name, a code and an address. */
  bodyBytesMax: 16_384,
  /** Of a part of a path: a domain with its last dot is the longest. */
  pathPartCharsMax: 254,
} as const;

export interface ServerOptions {
  /** The only host that is answered for. */
  readonly hostname: string;
  readonly log: Logger;
  /** Whether each request is a log line. */
  readonly accessLog: boolean;
  /** How a refusal is said; as JSON when it is absent. */
  readonly refuse?: (found: Problem, request: FastifyRequest, reply: FastifyReply) => FastifyReply;
}

export type Serve = (request: IncomingMessage, response: ServerResponse) => void;

export function makeServer(options: ServerOptions): FastifyInstance {
  const {
    hostname,
    log,
    accessLog,
    refuse = (found, _, reply) => sendProblem(found, reply),
  } = options;
  const server: FastifyInstance = fastify({
    // What is logged is written below: a library does not know what is secret.
    logger: false,
    bodyLimit: SERVER_LIMITS.bodyBytesMax,
    routerOptions: { maxParamLength: SERVER_LIMITS.pathPartCharsMax },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false } },
    genReqId: () => '',
    // Of the router, before any hook: a path that is no path.
    frameworkErrors: (error, _request, { raw }) => {
      const found = problemOf(error);
      raw.writeHead(found.status, { ...SECURITY_HEADERS, 'content-type': PROBLEM_TYPE });
      raw.end(JSON.stringify(problemJson(found)));
    },
  });
  server.addHook('onRequest', async (request) => {
    if (request.hostname.toLowerCase() !== hostname || hasTwo(request, 'host')) throw MISDIRECTED;
  });
  server.addHook('onSend', async (_request, reply) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      if (!reply.hasHeader(name)) reply.header(name, value);
    }
  });
  server.addHook('onResponse', async (request, reply) => {
    if (!accessLog) return;
    const { method, routeOptions, ip } = request;
    const route = routeOptions.url ?? '(none)';
    const ms = Math.round(reply.elapsedTime);
    log.info({ method, route, status: reply.statusCode, address: ip, ms }, 'portal: request');
  });
  server.setErrorHandler((error, request, reply: FastifyReply) => {
    const found = problemOf(error);
    if (isFault(found))
      log.error({ err: error, route: request.routeOptions.url }, 'portal: failed');
    return refuse(found, request, reply);
  });
  server.setNotFoundHandler((request, reply) => refuse(NOT_FOUND, request, reply));
  return server;
}

export function sendProblem(found: Problem, reply: FastifyReply): FastifyReply {
  reply.code(found.status);
  if (found.retryAfterSeconds !== undefined) {
    reply.header('retry-after', String(found.retryAfterSeconds));
  }
  reply.header('content-type', PROBLEM_TYPE);
  return reply.send(JSON.stringify(problemJson(found)));
}

/** Who asks, for budgets: an address, or the /64 that a home has. */
export function askerOf(request: FastifyRequest): string {
  return addressOwner(request.ip);
}

/** HTTP's rule for a field that must not come twice; Node keeps the first and says nothing. */
export function hasTwo(request: FastifyRequest, field: string): boolean {
  const { rawHeaders } = request.raw;
  let found = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === field) found += 1;
  }
  return found > 1;
}

const MISDIRECTED = problem(
  'misdirected',
  421,
  'This connection is for another host than the one that the request names.',
  'Ask on a connection of its own.',
);

const NOT_FOUND: Problem = {
  kind: 'not-found',
  status: 404,
  detail: 'There is nothing at this address.',
  next: 'Check the address.',
};

const PROBLEM_TYPE = 'application/problem+json';

/** Of every answer, errors too. What is no page loads nothing; a page has a policy of its own. */
const SECURITY_HEADERS = {
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // Not `no-referrer`: with that, browsers make the Origin of our own forms `null`.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
} as const;
