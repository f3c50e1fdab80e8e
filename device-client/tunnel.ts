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
  readonly accept: (stream: Stream, header: OpenHeader) => void;
  readonly drained: (ms: number) => void;
  /** An error thrown by whoever listens to a stream; that stream alone was reset. */
  readonly faulted: (error: unknown) => void;
  readonly ended: (end: SessionEnd) => void;
}

export interface Tunnel {
  readonly session: Session;
  readonly welcome: Welcome;
}

/** Connects and authenticates both sides. Rejects with HelloError; nothing is left open then. */
export async function dialTunnel(options: TunnelOptions): Promise<Tunnel> {
  const deviceNonce = makeDeviceNonce();
  const { socket, tls } = await connect(options.relay, deviceNonce);
  const wire = new WebSocketWire(socket, options.youngBuffers);
  try {
    const token = (await receiveHello(wire, FRAME.challenge)).toString('latin1');
    const challenge = await judge(token, options.relay, { deviceNonce, tls });
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
    const session = new Session({ wire, accept, drained, faulted, ended });
    wire.deliverTo(session);
    return { session, welcome };
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

/** The WebSocket, open, and the TLS connection under it. */
function connect(
  relay: RelayAddress,
  deviceNonce: string,
): Promise<{ readonly socket: WebSocket; readonly tls: TLSSocket | undefined }> {
  const socket = new WebSocket(relay.url, [SUBPROTOCOL], {
    perMessageDeflate: false,
    followRedirects: false,
    handshakeTimeout: LIMITS.helloTimeoutMs,
    maxPayload: LIMITS.messageBytesMax,
    // TLS is underneath: a mask of zeros is allowed and spares both ends the work.
    generateMask: (mask: Buffer) => mask.fill(0),
    headers: { 'Waygate-Nonce': deviceNonce },
    ...HTTP1_ONLY,
    ...(relay.ca === undefined ? {} : { ca: relay.ca }),
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
  });
}

function connectError(error: Error & { code?: string }, relay: RelayAddress): HelloError {
  const where = `${relay.url.host}${relay.address === undefined ? '' : ` (${relay.address})`}`;
  return new HelloError(
    error.code ?? 'ERR_RELAY_CONNECT',
    `No tunnel to the relay at ${where}: ${error.message}.`,
  );
}

/** `ws` passes TLS options on; its types name only some of them. */
const HTTP1_ONLY = { ALPNProtocols: ['http/1.1'] };

type Lookup = NonNullable<import('node:net').TcpSocketConnectOpts['lookup']>;

/** A resolver that knows one answer. */
function pinned(address: string): Lookup {
  const family = address.includes(':') ? 6 : 4;
  return (_hostname, options, callback) => {
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
}
