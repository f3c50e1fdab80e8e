// Who is signed in. A session is a cookie with 256 random bits, of which the registry has the hash; a
// sign-in always begins a new one, so that nobody can give another person a session of his making.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { sessionId } from '../registry/account.ts';
import {
  endSession,
  findSession,
  renewSession,
  SESSION_LIMITS,
  startSession,
} from '../registry/portal-token.ts';
import type { Registry } from '../registry/registry.ts';
import type { Owner } from '../registry/sign-in.ts';
import { dropCookie, readCookie, setCookie } from './cookie.ts';
import { problem } from './problem.ts';

export interface SignedIn {
  readonly owner: Owner;
  /** Of the session, as it is listed. */
  readonly id: string;
}

export class Sessions {
  readonly #registry: Registry;
  readonly #clockMs: () => number;
  readonly #known = new WeakMap<FastifyRequest, SignedIn>();

  constructor(registry: Registry, clockMs: () => number) {
    this.#registry = registry;
    this.#clockMs = clockMs;
  }

  /** Looks who it is, before the body is read. Throws a problem when nobody is signed in. */
  readonly require = async (request: FastifyRequest): Promise<void> => {
    const found = await this.find(request);
    if (found === undefined) throw SIGNED_OUT;
    this.#known.set(request, found);
  };

  /** Who it is; for routes behind `require`. */
  of(request: FastifyRequest): SignedIn {
    const known = this.#known.get(request);
    if (known === undefined) throw SIGNED_OUT;
    return known;
  }

  async find(request: FastifyRequest): Promise<SignedIn | undefined> {
    const token = readCookie(request, '__Host-waygate');
    if (token === undefined) return undefined;
    const use = { token, nowMs: this.#clockMs() };
    const session = await this.#registry.read(findSession(use));
    if (session === undefined) return undefined;
    // While the registry cannot be written, who is signed in stays so.
    if (session.renewalDue) await this.#registry.write(renewSession(use)).catch(() => undefined);
    return { owner: session.owner, id: sessionId(token) };
  }

  /** Signs in: a new session in place of whatever this browser had. */
  async begin(request: FastifyRequest, reply: FastifyReply, ownerId: string): Promise<void> {
    const before = readCookie(request, '__Host-waygate');
    const token = await this.#registry.write(startSession({ ownerId, nowMs: this.#clockMs() }));
    if (before !== undefined) await this.#registry.write(endSession(before));
    setCookie(reply, '__Host-waygate', token, SESSION_LIMITS.absoluteMs);
  }

  async end(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const token = readCookie(request, '__Host-waygate');
    if (token !== undefined) await this.#registry.write(endSession(token));
    dropCookie(reply, '__Host-waygate');
  }
}

const SIGNED_OUT = problem(
  'signed-out',
  401,
  'Nobody is signed in, or the session is over.',
  'Sign in at /sign-in.',
);
