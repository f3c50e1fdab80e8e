// The portal's cookies: only names that begin with `__Host-`, which browsers take from this very host
// over TLS and from nobody else. A name that comes twice is no cookie at all: then somebody has put
// one beside ours, and which is which cannot be told.
import type { FastifyReply, FastifyRequest } from 'fastify';

export type CookieName = '__Host-waygate' | '__Host-waygate-trip';

/** A token of ours: 256 bits in base64url. */
const VALUE = /^[A-Za-z0-9_-]{43}$/;

/** The value, if it can be one of ours. */
export function readCookie(request: FastifyRequest, name: CookieName): string | undefined {
  const values = (request.headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  const [value] = values;
  return values.length === 1 && value !== undefined && VALUE.test(value) ? value : undefined;
}

export function setCookie(
  reply: FastifyReply,
  name: CookieName,
  value: string,
  maxAgeMs: number,
): void {
  const seconds = Math.floor(maxAgeMs / 1_000);
  reply.header('set-cookie', `${name}=${value}; Max-Age=${seconds}; ${ATTRIBUTES}`);
}

export function dropCookie(reply: FastifyReply, name: CookieName): void {
  reply.header('set-cookie', `${name}=; Max-Age=0; ${ATTRIBUTES}`);
}

/** Lax: it comes along when a person follows a link to here, and with nothing that others make. */
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax';
