// Dials one tunnel: WebSocket, hello, session. Everything that a relay could do wrong here ends in a
// HelloError with a sentence that says what to do.
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { FRAME } from '../relay/protocol/frame.ts';
import {
  acceptChallenge,
  type Challenge,
  makeDeviceNonce,
  signProof,
  tlsExporter,
} from '../relay/protocol/hello.ts';
import { HelloError, receiveHello, sendHello } from '../relay/protocol/hello-messages.ts';
import type { PublicKey, SigningKey } from '../relay/protocol/key.ts';
import { LIMITS, SUBPROTOCOL } from '../relay/protocol/limits.ts';
import type { OpenHeader } from '../relay/protocol/open.ts';
import { Session, type SessionEnd } from '../relay/protocol/session.ts';
import type { Stream } from '../relay/protocol/stream.ts';
import { WebSocketWire } from '../relay/protocol/websocket-wire.ts';
import { parseWelcome, type Welcome } from '../relay/protocol/welcome.ts';
import { CLOSE } from '../relay/protocol/wire.ts';
import type { YoungBuffers } from '../relay/protocol/young-buffers.ts';
import type { Clock } from './clock.ts';
import { type ConnectFault, connectSentence, isOtherServer } from './connect-failure.ts';
import { pinned } from './pinned-lookup.ts';

/** Which relay, and how to know it. */
export interface RelayAddress {
  /** `wss://tunnel.vendor.dev/` */
  readonly url: URL;
  /** Pinned: a relay that cannot sign with it is none of ours, whatever its certificate says. */
  readonly vendorKey: PublicKey;
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string | undefined;
  /** Connect to this address instead of resolving the hostname. */
  readonly address?: string | undefined;
}

export interface TunnelOptions {
  readonly relay: RelayAddress;
  readonly deviceKey: SigningKey;
  /** Random per process; both tunnels carry the same. */
  readonly instance: string;
  readonly slot: 0 | 1;
  readonly software: string;
  readonly youngBuffers: YoungBuffers;
  /** Learns the relay's time. */
  readonly clock?: Clock;
  readonly accept: (stream: Stream, header: OpenHeader) => void;
  readonly drained: (ms: number) => void;
  /** What the welcome said has changed; it comes once more with each news. */
  readonly news: (welcome: Welcome) => void;
  /** An error thrown by whoever listens to a stream; that stream alone was reset. */
  readonly faulted: (error: unknown) => void;
  readonly ended: (end: SessionEnd) => void;
}

export interface Tunnel {
  readonly session: Session;
  readonly welcome: Welcome;
  /** The relay's certificate is not valid by the clock of this device; its key vouches for it. */
  readonly clockFault: string | undefined;
}

/** Connects and authenticates both sides. Rejects with HelloError; nothing is left open then. */
export async function dialTunnel(options: TunnelOptions): Promise<Tunnel> {
  const deviceNonce = makeDeviceNonce();
  const { socket, tls, clockFault } = await connectAtAnyTime(options.relay, deviceNonce);
  const wire = new WebSocketWire(socket, options.youngBuffers);
  try {
    const token = (await receiveHello(wire, FRAME.challenge)).toString('latin1');
    const challenge = await judge(token, options.relay, { deviceNonce, tls });
    // Without a valid certificate the challenge must prove that nobody is in the middle.
    if (clockFault !== undefined && challenge.exporter === undefined) throw clockFault;
    options.clock?.learn(challenge.issuedAtS * 1_000);
    const { instance, slot, software } = options;
    const limits = { streams: LIMITS.streamsMax };
    const proof = await signProof(
      challenge,
      { instance, slot, software, limits },
      options.deviceKey,
    );
    sendHello(wire, FRAME.proof, Buffer.from(proof));
    const welcome = parseWelcome(await receiveHello(wire, FRAME.welcome));
    if (welcome === undefined) {
      throw new HelloError('ERR_HELLO_MALFORMED', 'The relay sent a welcome that cannot be read.');
    }
    const { accept, drained, faulted, ended } = options;
    const news = (payload: Buffer): void => {
      const told = parseWelcome(payload);
      if (told !== undefined) options.news(told);
      else faulted(new HelloError('ERR_NEWS', 'The relay sent news that cannot be read.'));
    };
    const session = new Session({ wire, accept, drained, news, faulted, ended });
    wire.deliverTo(session);
    return { session, welcome, clockFault: clockFault && CLOCK_FAULTS[clockFault.code] };
  } catch (error) {
    wire.close(CLOSE.refused, error instanceof HelloError ? error.code : 'the hello failed');
    throw error;
  }
}

async function judge(
  token: string,
  relay: RelayAddress,
  connection: { readonly deviceNonce: string; readonly tls: TLSSocket | undefined },
): Promise<Challenge> {
  const accepted = await acceptChallenge(token, {
    vendorKey: relay.vendorKey,
    relay: hostnameOf(relay.url),
    deviceNonce: connection.deviceNonce,
    exporter: connection.tls === undefined ? undefined : tlsExporter(connection.tls),
  });
  if (!accepted.ok) throw new HelloError(accepted.code, accepted.message);
  return accepted.value;
}

function hostnameOf(url: URL): Hostname {
  const hostname = parseHostname(url.hostname);
  if (hostname === undefined) {
    throw new HelloError('ERR_RELAY_URL', `${url.hostname} is not a hostname of a relay.`);
  }
  return hostname;
}

interface Connection {
  /** Open. */
  readonly socket: WebSocket;
  /** What is under it. */
  readonly tls: TLSSocket | undefined;
}

/**
 * A device without a battery starts in 1970. Then no certificate is valid, and which other faults it
 * has does not show either; so the connection counts only once the vendor's signature over this very
 * TLS connection (its exporter) proves who is at the other end.
 */
async function connectAtAnyTime(
  relay: RelayAddress,
  deviceNonce: string,
): Promise<Connection & { readonly clockFault: HelloError | undefined }> {
  try {
    return { ...(await connect(relay, deviceNonce)), clockFault: undefined };
  } catch (error) {
    if (!(error instanceof HelloError && Object.hasOwn(CLOCK_FAULTS, error.code))) throw error;
    return { ...(await connect(relay, deviceNonce, ANY_CERTIFICATE)), clockFault: error };
  }
}

const CLOCK_FAULTS: Readonly<Record<string, string>> = {
  CERT_NOT_YET_VALID: 'By the clock of this device the certificate of the relay is not valid yet.',
  CERT_HAS_EXPIRED: 'By the clock of this device the certificate of the relay has expired.',
};
const ANY_CERTIFICATE = { rejectUnauthorized: false } as const;

function connect(
  relay: RelayAddress,
  deviceNonce: string,
  tlsOptions: Partial<typeof ANY_CERTIFICATE> = {},
): Promise<Connection> {
  const socket = new WebSocket(relay.url, [SUBPROTOCOL], {
    perMessageDeflate: false,
    followRedirects: false,
    handshakeTimeout: LIMITS.helloTimeoutMs,
    maxPayload: LIMITS.messageBytesMax,
    // TLS is underneath: a mask of zeros is allowed and spares both ends the work.
    generateMask: (mask: Buffer) => mask.fill(0),
    headers: { 'Waygate-Nonce': deviceNonce },
    ...HTTP1_ONLY,
    ...tlsOptions,
    ...(relay.ca === undefined ? {} : { ca: relay.ca, allowPartialTrustChain: true }),
    ...(relay.address === undefined ? {} : { lookup: pinned(relay.address) }),
  });
  return new Promise((resolve, reject) => {
    let tls: TLSSocket | undefined;
    socket.on('upgrade', (response) => {
      const under = response.socket;
      under.setNoDelay(true);
      if ('exportKeyingMaterial' in under) tls = under as TLSSocket;
    });
    socket.on('open', () => resolve({ socket, tls }));
    socket.on('error', (error) => reject(connectError(error, relay)));
    socket.on('unexpected-response', (request, { statusCode: status = 0 }) => {
      const code = isOtherServer(status) ? 'ERR_HELLO_NO_RELAY' : 'ERR_RELAY_STATUS';
      reject(connectError({ code, message: '', status }, relay));
      request.destroy();
    });
  });
}

function connectError(
  fault: Partial<ConnectFault> & Pick<ConnectFault, 'message'>,
  relay: RelayAddress,
): HelloError {
  const where = `${relay.url.host}${relay.address === undefined ? '' : ` (${relay.address})`}`;
  const silent = fault.message === HANDSHAKE_TIMEOUT;
  const code = fault.code ?? (silent ? 'ETIMEDOUT' : 'ERR_RELAY_CONNECT');
  return new HelloError(code, connectSentence(where, { ...fault, code }));
}

/** The one error of `ws` that has no code and is no bug. */
const HANDSHAKE_TIMEOUT = 'Opening handshake has timed out';

/** `ws` passes TLS options on; its types name only some of them. */
const HTTP1_ONLY = { ALPNProtocols: ['http/1.1'] };
