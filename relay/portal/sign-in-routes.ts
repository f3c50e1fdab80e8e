// The pages by which owners sign in and out. They work without a session, so each is small, is bounded
// by the asker's address, and says the same to everybody.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { issueToken, redeemToken } from '../registry/portal-token.ts';
import { hashToken, makeToken } from '../registry/secret.ts';
import { signIn } from '../registry/sign-in.ts';
import { email, object } from './api-schemas.ts';
import { dropCookie, readCookie, setCookie } from './cookie.ts';
import type { MailSignIn } from './mail-sign-in.ts';
import type { Provider } from './oidc.ts';
import type { OwnerParts } from './owner-parts.ts';
import { problem } from './problem.ts';
import { returnPath } from './return-path.ts';
import {
  sendConfirmPage,
  sendSentPage,
  sendSignedOutPage,
  sendSignInPage,
} from './sign-in-pages.ts';

const TRIP_LIMITS = {
  /** To the provider and back: a person looks for a password, or a second factor. */
  ttlMs: 10 * 60_000,
} as const;

export interface SignInParts extends OwnerParts {
  /** Absent: nobody signs in by mail. */
  readonly mailSignIn: MailSignIn | undefined;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly origin: () => string;
}

const token = { type: 'string', pattern: '^[A-Za-z0-9_-]{43}$' };
/** Judged by `returnPath`. */
const to = { type: 'string', maxLength: 200 };

export function signInRoutes(server: FastifyInstance, parts: SignInParts): void {
  const { sessions } = parts;
  const wanted = { querystring: object({ to }, ['to']) };
  server.get<{ Querystring: { to?: string } }>(
    '/sign-in',
    { schema: wanted },
    async (request, reply) => {
      const path = returnPath(request.query.to);
      if ((await sessions.find(request)) !== undefined) return reply.redirect(path, 303);
      const providers = [...parts.providers.keys()];
      return sendSignInPage(reply, { to: path, mail: parts.mailSignIn !== undefined, providers });
    },
  );
  mailRoutes(server, parts);
  providerRoutes(server, parts);

  const nothing = { querystring: object({}) };
  server.post('/sign-out', { schema: { ...nothing, body: object({}) } }, async (request, reply) => {
    await sessions.end(request, reply);
    return reply.redirect('/signed-out', 303);
  });
  server.get('/signed-out', { schema: nothing }, (_request, reply) => {
    const backTo = `${parts.origin()}/signed-out`;
    const elsewhere = [...parts.providers.values()].flatMap((provider) => {
      const url = provider.endSessionUrl(backTo);
      return url === undefined ? [] : [{ name: provider.name, href: url.href }];
    });
    return sendSignedOutPage(reply, elsewhere);
  });
}

function mailRoutes(server: FastifyInstance, parts: SignInParts): void {
  const { mailSignIn, sessions, spend } = parts;
  const asking = { querystring: object({}), body: object({ email, to }, ['to']) };
  server.post<{ Body: { email: string; to?: string } }>(
    '/sign-in/mail',
    { schema: asking, onRequest: spend.signIn },
    (request, reply) => {
      if (mailSignIn === undefined) throw NO_MAIL;
      mailSignIn.ask(request.body.email, returnPath(request.body.to));
      return reply.redirect('/sign-in/sent', 303);
    },
  );
  server.get('/sign-in/sent', { schema: { querystring: object({}) } }, (_request, reply) =>
    sendSentPage(reply),
  );

  type Link = { token: string; to?: string };
  const fields = object({ token, to }, ['to']);
  server.get<{ Querystring: Link }>(
    '/sign-in/link',
    { schema: { querystring: fields }, onRequest: spend.signIn },
    async (request, reply) => {
      const { token: link, to: path } = request.query;
      const address = await mailSignIn?.addressOf(link);
      if (address === undefined) throw LINK_OVER;
      return sendConfirmPage(reply, { address, token: link, to: returnPath(path) });
    },
  );
  server.post<{ Body: Link }>(
    '/sign-in/link',
    { schema: { querystring: object({}), body: fields }, onRequest: spend.signIn },
    async (request, reply) => {
      const owner = await mailSignIn?.redeem(request.body.token);
      if (owner === undefined) throw LINK_OVER;
      await sessions.begin(request, reply, owner.id);
      return reply.redirect(returnPath(request.body.to), 303);
    },
  );
}

/** What is kept of a round trip; the browser's secret is in its cookie alone. */
interface TripRecord {
  readonly provider: string;
  readonly to: string;
  readonly secretHash: string;
}

function providerRoutes(server: FastifyInstance, parts: SignInParts): void {
  const { registry, clockMs, spend } = parts;
  const begin = {
    params: object({ provider: { type: 'string', maxLength: 32 } }),
    querystring: object({ to }, ['to']),
  };
  server.get<{ Params: { provider: string }; Querystring: { to?: string } }>(
    '/sign-in/with/:provider',
    { schema: begin, onRequest: spend.signIn },
    async (request, reply) => {
      const provider = parts.providers.get(request.params.provider);
      if (provider === undefined) throw NO_PROVIDER;
      const secret = makeToken();
      const trip: TripRecord = {
        provider: provider.name,
        to: returnPath(request.query.to),
        secretHash: secret.hash,
      };
      const subject = JSON.stringify(trip);
      const { ttlMs } = TRIP_LIMITS;
      const issue = issueToken({ kind: 'oidc', subject, ttlMs, nowMs: clockMs() });
      const state = await registry.write(issue);
      const url = await provider.begin({ state, secret: secret.text }, `${parts.origin()}${BACK}`);
      setCookie(reply, '__Host-waygate-trip', secret.text, ttlMs);
      return reply.redirect(url.href, 303);
    },
  );
  // Providers add fields of their own, so here others are admitted.
  const back = {
    querystring: { type: 'object', properties: { state: token }, required: ['state'] },
  };
  server.get<{ Querystring: { state: string } }>(
    BACK,
    { schema: back, onRequest: spend.signIn },
    (request, reply) => comeBack(parts, request, reply),
  );
}

const BACK = '/sign-in/back';

async function comeBack(
  parts: SignInParts,
  request: FastifyRequest<{ Querystring: { state: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { registry, sessions, clockMs } = parts;
  const { state } = request.query;
  const secret = readCookie(request, '__Host-waygate-trip');
  dropCookie(reply, '__Host-waygate-trip');
  const nowMs = clockMs();
  const record = await registry.write(redeemToken({ kind: 'oidc', token: state, nowMs }));
  const trip = record === undefined ? undefined : readTrip(record);
  const provider = trip === undefined ? undefined : parts.providers.get(trip.provider);
  if (trip === undefined || provider === undefined || secret === undefined) throw TRIP_OVER;
  if (hashToken(secret) !== trip.secretHash) throw TRIP_OVER;
  const cameBackTo = new URL(request.url, parts.origin());
  const { email: address, ...who } = await provider.finish({ state, secret }, cameBackTo);
  const mail = address === undefined ? {} : { email: address };
  const identity = { ...who, ...mail, emailVerified: address !== undefined, nowMs };
  const owner = await registry.write(signIn(identity));
  await sessions.begin(request, reply, owner.id);
  return reply.redirect(trip.to, 303);
}

function readTrip(text: string): TripRecord | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return undefined;
  if (!('provider' in value) || !('to' in value) || !('secretHash' in value)) return undefined;
  const { provider, to: path, secretHash } = value;
  if (typeof provider !== 'string' || typeof secretHash !== 'string') return undefined;
  return { provider, secretHash, to: returnPath(typeof path === 'string' ? path : undefined) };
}

const NO_MAIL = problem(
  'no-mail',
  404,
  'Nobody signs in by mail here.',
  'Sign in another way, or ask the operator.',
);

const NO_PROVIDER = problem(
  'provider-unknown',
  404,
  'There is no such provider here.',
  'Begin to sign in again at /sign-in.',
);

const LINK_OVER = problem(
  'link-over',
  410,
  'This link was used already, or has expired.',
  'Ask for a new one at /sign-in.',
);

/** Used, expired, begun by another browser: which of them is not told. */
const TRIP_OVER = problem(
  'sign-in-over',
  400,
  'This way to sign in is over, or another browser began it.',
  'Begin to sign in again at /sign-in.',
);
