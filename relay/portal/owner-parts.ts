// What all routes of owners are given, the API's and the pages'.
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import type { Domains } from '../domains/domains.ts';
import type { Registry } from '../registry/registry.ts';
import type { Spend } from './budgets.ts';
import type { OwnerDeeds, Typist } from './owner-deeds.ts';
import type { Sessions } from './sessions.ts';

export interface OwnerParts {
  readonly zone: Hostname;
  /** Where a name is served: `https://alice.vendor.dev/`. */
  readonly urlOf: (name: string) => string;
  readonly registry: Registry;
  readonly domains: Domains;
  /** `https://my.vendor.dev`; known once the relay listens. */
  readonly origin: () => string;
  readonly deeds: OwnerDeeds;
  readonly sessions: Sessions;
  /** The wall clock: what is stored has wall-clock times. */
  readonly clockMs: () => number;
  readonly spend: { readonly session: Spend; readonly codes: Spend; readonly signIn: Spend };
  readonly log: Logger;
}

/** Who types a code: for the count of wrong ones. */
export function typistOf(parts: OwnerParts, request: FastifyRequest): Typist {
  return { ownerId: parts.sessions.of(request).owner.id, from: request.ip };
}
