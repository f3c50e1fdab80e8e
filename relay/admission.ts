// The door for devices: `wss://tunnel.<zone>/`. It upgrades, proves both sides (hello.ts), and hands
// a session to the tunnels. Nothing that comes before the proof costs more than a few kilobytes.
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import type { DeviceName, Hostname } from '../dns/name.ts';
import { FRAME } from './protocol/frame.ts';
import {
  acceptProof,
  openChallenge,
  type Proof,
  parseDeviceNonce,
  tlsExporter,
} from './protocol/hello.ts';
import { helloFailure } from './protocol/hello-failure.ts';
import { HelloError, receiveHello, sendHello } from './protocol/hello-messages.ts';
import type { PublicKey, SigningKey } from './protocol/key.ts';
import { LIMITS, SUBPROTOCOL } from './protocol/limits.ts';
import { Session } from './protocol/session.ts';
import { WebSocketWire } from './protocol/websocket-wire.ts';
import { encodeWelcome } from './protocol/welcome.ts';
import { CLOSE } from './protocol/wire.ts';
import type { YoungBuffers } from './protocol/young-buffers.ts';
import type { Tunnel, Tunnels } from './tunnels.ts';

export interface AdmissionOptions {
  readonly zone: Hostname;
  /** `tunnel.<zone>`: what devices dial, and what the hello names. */
  readonly hostname: Hostname;
  readonly vendorKey: SigningKey;
  readonly tunnels: Tunnels;
  readonly log: Logger;
  readonly streamsPerTunnel: number;
  readonly youngBuffers: YoungBuffers;
  /** The key of an enrolled device that is not revoked. */
  readonly findKey: (thumbprint: string) => Promise<PublicKey | undefined>;
  readonly namesOf: (thumbprint: string) => readonly DeviceName[];
}

const ADMISSION_LIMITS = {
  /**
   * From the connection to its upgrade, a head of some hundred bytes. Ours to keep: Node looks at its
   * own deadlines only in a server that listens by itself.
   */
  headTimeoutMs: 10_000,
  headBytesMax: 8_192,
  /** Fragments of one message: ours send whole messages. */
  fragmentsMax: 16,
} as const;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #server: Server;
  readonly #upgrades: WebSocketServer;
  /** Connections that are no WebSocket yet, and their end. */
  readonly #deadlines = new Map<Duplex, NodeJS.Timeout>();
  /** Hellos by their outcome, for metrics. */
  readonly outcomes = new Map<string, number>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: LIMITS.messageBytesMax,
      maxFragments: ADMISSION_LIMITS.fragmentsMax,
      handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#server = createServer({ maxHeaderSize: ADMISSION_LIMITS.headBytesMax });
    this.#server.on('request', (_request, response) => {
      response.writeHead(426, { Upgrade: 'websocket', Connection: 'close' });
      response.end('This is where devices connect, by WebSocket. There is nothing to see here.\n');
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Takes a connection whose TLS is done. */
  take(socket: TLSSocket): void {
    const deadline = setTimeout(() => socket.destroy(), ADMISSION_LIMITS.headTimeoutMs);
    this.#deadlines.set(socket, deadline);
    socket.once('close', () => this.#endDeadline(socket));
    this.#server.emit('connection', socket);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const nonce = parseDeviceNonce(single(request.headers['waygate-nonce']));
    const offered = request.headers['sec-websocket-protocol'] ?? '';
    const spoken = offered.split(',').some((protocol) => protocol.trim() === SUBPROTOCOL);
    if (request.url !== '/' || nonce === undefined || !spoken) {
      const why = !spoken
        ? `Only the subprotocol ${SUBPROTOCOL} is spoken here.`
        : 'A device asks for / and sends Waygate-Nonce, 16 to 32 bytes in base64url.';
      this.#count('ERR_HELLO_UPGRADE');
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
          `Content-Length: ${why.length + 1}\r\n\r\n${why}\n`,
      );
      return;
    }
    this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      this.#endDeadline(socket);
      void this.#admit(webSocket, socket, nonce);
    });
  }

  #endDeadline(socket: Duplex): void {
    clearTimeout(this.#deadlines.get(socket));
    this.#deadlines.delete(socket);
  }

  async #admit(webSocket: WebSocket, socket: Duplex, deviceNonce: string): Promise<void> {
    const wire = new WebSocketWire(webSocket, this.#options.youngBuffers);
    try {
      const exporter = socket instanceof TLSSocket ? tlsExporter(socket) : undefined;
      const proof = await this.#prove(wire, deviceNonce, exporter);
      await this.#welcome(wire, proof);
      this.#count('accepted');
    } catch (error) {
      const code = error instanceof HelloError ? error.code : 'ERR_HELLO_INTERNAL';
      this.#count(code);
      if (error instanceof HelloError)
        this.#options.log.info({ code }, 'a device was not admitted');
      else this.#options.log.error({ err: error }, 'admission failed');
      wire.close(CLOSE.refused, code);
    }
  }

  async #prove(
    wire: WebSocketWire,
    deviceNonce: string,
    exporter: Buffer | undefined,
  ): Promise<Proof> {
    const { hostname, vendorKey, streamsPerTunnel, findKey } = this.#options;
    const challenge = await openChallenge(
      { relay: hostname, deviceNonce, exporter, limits: { streams: streamsPerTunnel } },
      vendorKey,
      { wallMs: Date.now(), monotonicMs: performance.now() },
    );
    sendHello(wire, FRAME.challenge, Buffer.from(challenge.token));
    const token = (await receiveHello(wire, FRAME.proof)).toString('latin1');
    const proof = await acceptProof(
      token,
      challenge,
      (thumbprint) => (thumbprint === undefined ? undefined : findKey(thumbprint)),
      performance.now(),
    );
    if (!proof.ok) throw new HelloError(proof.code, proof.message);
    return proof.value;
  }

  async #welcome(wire: WebSocketWire, proof: Proof): Promise<void> {
    const { tunnels, zone, namesOf, streamsPerTunnel, log } = this.#options;
    const { thumbprint } = proof.deviceKey;
    const { instance, slot, software } = proof;
    const epoch = await tunnels.claim(thumbprint, proof.instance);
    if (epoch === undefined) {
      const { code, message } = helloFailure('ERR_HELLO_SUPERSEDED', 'proof');
      throw new HelloError(code, message);
    }
    sendHello(wire, FRAME.welcome, encodeWelcome({ epoch, names: namesOf(thumbprint), zone }));
    const session = new Session({
      wire,
      drained: () => undefined,
      faulted: (error) => log.error({ err: error }, 'a stream failed'),
      ended: (end) => {
        tunnels.remove(tunnel);
        log.info({ device: thumbprint, slot, ...end }, 'tunnel: ended');
      },
      peerStreamsMax: Math.min(streamsPerTunnel, proof.limits['streams'] ?? LIMITS.streamsMax),
    });
    const tunnel: Tunnel = { thumbprint, instance, slot, epoch, session };
    if (!tunnels.add(tunnel)) {
      session.close(CLOSE.superseded, 'superseded: another instance of this key has connected');
      return;
    }
    wire.deliverTo(session);
    log.info({ device: thumbprint, slot, epoch, software }, 'tunnel: up');
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
