// The connection that one question to the relay takes, with a request for a nonce before it. Who answers
// is known by its certificate. Where that is not valid by the clock of this device, it is known as the
// tunnel knows it (tunnel.ts): by the vendor's signature over this very TLS connection. No byte of the
// question is sent before that, and none on another connection.
import { once } from 'node:events';
import { Agent } from 'node:https';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { Hostname } from '../dns/name.ts';
import { acceptChallenge, makeDeviceNonce, tlsExporter } from '../relay/protocol/hello.ts';
import type { Answer } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import type { Clock } from './clock.ts';
import { pinned } from './pinned-lookup.ts';
import type { RelayAddress } from './tunnel.ts';

export interface ApiLine {
  readonly agent: Agent;
  /** Fields of the request for a nonce. */
  readonly fields: Readonly<Record<string, string>>;
  /** True: who answers is known from the first byte on. */
  readonly trusted: boolean;
  /** Judges the answer to that request. Rejects with ApiError when nothing must be sent after it. */
  judge(given: Answer): Promise<void>;
  close(): void;
}

/** The certificate decides. */
export function openTrusted(relay: RelayAddress): ApiLine {
  const agent = new Agent({ ...KEPT, ...tlsOptions(relay) });
  return {
    agent,
    fields: {},
    trusted: true,
    judge: async () => undefined,
    close: () => agent.destroy(),
  };
}

/** The vendor's key decides. `fault` is what is wrong otherwise; rejects with what `connect` did. */
export async function openProven(
  { relay, host, clock }: { relay: RelayAddress; host: Hostname; clock: Clock },
  fault: ApiError,
  signal: AbortSignal,
): Promise<ApiLine> {
  const socket = connect({
    host: relay.url.hostname,
    port: portOf(relay),
    ...tlsOptions(relay),
    rejectUnauthorized: false,
  });
  try {
    await once(socket, 'secureConnect', { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const agent = new OnlyConnection(socket);
  const deviceNonce = makeDeviceNonce();
  return {
    agent,
    fields: { 'waygate-nonce': deviceNonce },
    trusted: false,
    judge: async (given) => {
      const exporter = tlsExporter(socket);
      const token = given.optionalText('challenge');
      // A relay that is older, or behind somebody who ends TLS for it, cannot be told from others.
      if (token === undefined || exporter === undefined) throw fault;
      const { vendorKey } = relay;
      const expected = { vendorKey, relay: host, deviceNonce, exporter };
      const accepted = await acceptChallenge(token, expected);
      if (!accepted.ok) throw new ApiError('not-the-vendor', accepted.message);
      if (accepted.value.exporter === undefined) throw fault;
      clock.learn(accepted.value.issuedAtS * 1_000);
    },
    close: () => {
      agent.destroy();
      socket.destroy();
    },
  };
}

export function portOf({ url }: RelayAddress): number {
  return url.port === '' ? 443 : Number(url.port);
}

/** One after the other, on the same connection while it lasts. */
const KEPT = { keepAlive: true, maxSockets: 1 } as const;

function tlsOptions({ url, ca, address }: RelayAddress) {
  return {
    servername: url.hostname,
    ALPNProtocols: ['http/1.1'],
    ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
    ...(address === undefined ? {} : { lookup: pinned(address) }),
  };
}

/** Makes no connection of its own: what was proven is true of this one alone. */
class OnlyConnection extends Agent {
  #socket: TLSSocket | undefined;

  constructor(socket: TLSSocket) {
    super(KEPT);
    this.#socket = socket;
    socket.on('error', () => undefined);
  }

  override createConnection(): Duplex {
    const socket = this.#socket;
    this.#socket = undefined;
    return socket ?? new Duplex({ read: () => undefined, write: (...[, , done]) => done(lost()) });
  }
}

function lost(): Error {
  const message = 'The connection was closed before the question was asked';
  return Object.assign(new Error(message), { code: 'ECONNRESET' });
}
