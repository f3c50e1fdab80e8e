// A challenge of a certificate authority, from its publication until the authority may look: it is
// written into the registry, the name servers take it over, and every one that the world asks is asked
// until it serves the value. Told sooner, an authority sees the old zone, and the order fails.
import { lookup } from 'node:dns/promises';
import type { ApexSettings } from '../dns/apex.ts';
import { type PublicServer, type ServerReport, servedEverywhere } from '../dns/propagation.ts';
import { parseRdata } from '../dns/rdata.ts';
import { TYPE } from '../dns/record.ts';
import { publishChallenge, withdrawChallenge } from './registry/deeds/challenge.ts';
import type { Registry } from './registry/registry.ts';
import { RegistryError } from './registry/registry-error.ts';
import { readZone } from './registry/zone-publication.ts';

const PUBLICATION_LIMITS = {
  /** A value that nobody withdraws, for its relay has died, ends by itself: far beyond any order. */
  lifeMs: 3_600_000,
  /** Each asks every server with a socket of its own. */
  waitingMax: 256,
} as const;

export interface WantedChallenge {
  /** Relative to the zone, as `publishChallenge` takes it: `_acme-challenge.alice`. */
  readonly owner: string;
  readonly value: string;
  /** For all of it. Secondaries have a change within a second or two as a rule. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface PublicChallenge {
  /** For `withdrawChallenge`, when the authority has looked. */
  readonly token: string;
  /** Who serves the value, and after how long. */
  readonly servers: readonly ServerReport[];
}

class ChallengeError extends Error {
  override readonly name = 'ChallengeError';
  readonly code: 'ERR_CHALLENGE_NOT_SERVED' | 'ERR_CHALLENGES_BUSY';
  /** What was found, of every server that was asked. */
  readonly servers: readonly ServerReport[];

  constructor(
    code: ChallengeError['code'],
    message: string,
    servers: readonly ServerReport[] = [],
  ) {
    super(message);
    this.code = code;
    this.servers = servers;
  }
}

export class ChallengePublication {
  readonly #registry: Pick<Registry, 'perform' | 'read'>;
  #waiting = 0;

  constructor(registry: Pick<Registry, 'perform' | 'read'>) {
    this.#registry = registry;
  }

  /**
   * Resolves when every listed secondary serves the value; without secondaries, when the zone's own
   * name servers do. Otherwise it is withdrawn, and the rejection is a ChallengeError at the deadline,
   * the signal's reason, or what the registry says.
   */
  async publish(challenge: WantedChallenge): Promise<PublicChallenge> {
    if (this.#waiting >= PUBLICATION_LIMITS.waitingMax) throw busy();
    this.#waiting += 1;
    try {
      return await this.#publish(challenge);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #publish({ owner, value, deadlineMs, signal }: WantedChallenge): Promise<PublicChallenge> {
    signal?.throwIfAborted();
    const deadline = AbortSignal.timeout(deadlineMs);
    const end = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const { lifeMs: ttlMs } = PUBLICATION_LIMITS;
    const { token } = await this.#registry.perform(publishChallenge({ owner, value, ttlMs }));
    try {
      const { zone, servers } = await this.#whoServes(end);
      const name = `${owner}.${zone}`;
      // The deed admits no character that means something in a text.
      const wanted = parseRdata(TYPE.TXT, `"${value}"`) ?? Buffer.alloc(0);
      const question = { owner: name, type: TYPE.TXT, value: wanted };
      const report = await servedEverywhere({ ...question, servers, signal: end });
      signal?.throwIfAborted();
      if (!report.everywhere) throw notServed(name, deadlineMs, report.servers);
      return { token, servers: report.servers };
    } catch (error) {
      await this.#withdraw(token);
      throw error;
    }
  }

  async #whoServes(end: AbortSignal) {
    const zone = await this.#registry.read(readZone);
    // The deed, which has just published something, would have refused.
    if (zone === undefined) throw new Error('The zone is gone.');
    const { settings } = zone;
    const { secondaries } = settings;
    const servers = secondaries.length > 0 ? secondaries : await ownServers(settings, end);
    return { zone: settings.zone, servers };
  }

  async #withdraw(token: string): Promise<void> {
    try {
      await this.#registry.perform(withdrawChallenge({ token }));
    } catch (error) {
      // The registry has told of its fault; the value ends by itself.
      if (!(error instanceof RegistryError)) throw error;
    }
  }
}

function ownServers({ nameServers }: ApexSettings, end: AbortSignal): Promise<PublicServer[]> {
  return Promise.all(
    nameServers.map(async ({ host, addresses, port }) => ({
      name: host,
      addresses: addresses.length > 0 ? addresses : await addressesOf(host, end),
      port,
    })),
  );
}

/** Of a host outside of the zone, as this machine finds them; none when it does not in time. */
async function addressesOf(host: string, end: AbortSignal): Promise<string[]> {
  const late = Promise.withResolvers<never[]>();
  const stop = () => late.resolve([]);
  end.addEventListener('abort', stop);
  try {
    const found = await Promise.race([lookup(host, { all: true }), late.promise]);
    return found.map(({ address }) => address);
  } catch {
    return [];
  } finally {
    end.removeEventListener('abort', stop);
  }
}

function notServed(
  name: string,
  deadlineMs: number,
  servers: readonly ServerReport[],
): ChallengeError {
  const missing = servers.filter(({ served }) => !served);
  const words = missing.map((server) => `${server.name} (${server.found})`).join(', ');
  return new ChallengeError(
    'ERR_CHALLENGE_NOT_SERVED',
    `The challenge at ${name} is not served everywhere after ${deadlineMs} ms; it is missing at: ` +
      `${words}. Look into the log of "waygate dns" and of that name server why it does not follow, ` +
      'then try again.',
    servers,
  );
}

function busy(): ChallengeError {
  return new ChallengeError(
    'ERR_CHALLENGES_BUSY',
    `${PUBLICATION_LIMITS.waitingMax} challenges wait for the name servers already. Try again when ` +
      'some of them are through.',
  );
}
