// The door for devices: `wss://tunnel.<zone>/`. It upgrades, proves both sides (hello.ts), and hands
// a session to the tunnels. Nothing that comes before the proof costs more than a few kilobytes.
// What devices ask without a tunnel, below /v1/device, is handed on; there is nothing else here.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Hostname } from '../dns/name.ts';
import { HttpDoor } from './http-door.ts';
import { FRAME } from './protocol/frame.ts';
import {
  acceptProof,
  openChallenge,
  type Proof,
  parseDeviceNonce,
  tlsExporter,
} from './protocol/hello.ts';
import { helloFailure, readRefusal } from './protocol/hello-failure.ts';
import { HelloError, receiveHello, sendHello } from './protocol/hello-messages.ts';
import type { PublicKey, SigningKey } from './protocol/key.ts';
import { LIMITS, SUBPROTOCOL } from './protocol/limits.ts';
import { Session } from './protocol/session.ts';
import { WebSocketWire } from './protocol/websocket-wire.ts';
import { encodeWelcome, type Welcome } from './protocol/welcome.ts';
import { CLOSE } from './protocol/wire.ts';
import type { YoungBuffers } from './protocol/young-buffers.ts';
import { closeWords, judgeSoftware, type SoftwarePolicy } from './software-policy.ts';
import { REVOKED, type Tunnel, type Tunnels } from './tunnels.ts';

export interface AdmissionOptions {
  /** `tunnel.<zone>`: what devices dial, and what the hello names. */
  readonly hostname: Hostname;
  readonly vendorKey: SigningKey;
  readonly tunnels: Tunnels;
  readonly log: Logger;
  readonly streamsPerTunnel: number;
  readonly youngBuffers: YoungBuffers;
  /** The key of an enrolled device that is not revoked. */
  readonly findKey: (thumbprint: string) => Promise<PublicKey | undefined>;
  /** What a device is told of its names. */
  readonly standing: (thumbprint: string) => Omit<Welcome, 'epoch'>;
  readonly softwarePolicy: SoftwarePolicy;
  /** A device that is admitted has told what it runs. */
  readonly runs: (thumbprint: string, software: string) => void;
  /** Answers requests below /v1/device. */
  readonly deviceApi?: (request: IncomingMessage, response: ServerResponse) => void;
}

const ADMISSION_LIMITS = {
  /** An upgrade has some hundred bytes, a signed request of a device two thousand. */
  headBytesMax: 8_192,
  /** Above any storm of returning devices that one process can prove within `headMs` of the door. */
  connectionsMax: 50_000,
  /** Fragments of one message: ours send whole messages. */
  fragmentsMax: 16,
} as const;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #door: HttpDoor;
  readonly #upgrades: WebSocketServer;
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
    this.#door = new HttpDoor({
      headBytesMax: ADMISSION_LIMITS.headBytesMax,
      connectionsMax: ADMISSION_LIMITS.connectionsMax,
      request: (request, response) => this.#request(request, response),
      upgrade: (request, socket, head) => this.#upgrade(request, socket, head),
    });
  }

  /** Takes a connection whose TLS is done. */
  take(socket: TLSSocket): void {
    this.#door.take(socket);
  }

  /** Ends the connections that are no WebSocket. */
  close(): void {
    this.#door.destroy();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const { deviceApi } = this.#options;
    if (deviceApi !== undefined && DEVICE_API.test(request.url ?? '')) {
      deviceApi(request, response);
      return;
    }
    response.writeHead(426, { Upgrade: 'websocket', Connection: 'close' });
    response.end('This is where devices connect, by WebSocket. There is nothing to see here.\n');
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
      this.#door.release(socket);
      void this.#admit(webSocket, socket, nonce);
    });
  }

  async #admit(webSocket: WebSocket, socket: Duplex, deviceNonce: string): Promise<void> {
    const wire = new WebSocketWire(webSocket, this.#options.youngBuffers);
    try {
      const exporter = socket instanceof TLSSocket ? tlsExporter(socket) : undefined;
      const proof = await this.#prove(wire, deviceNonce, exporter);
      this.#judgeSoftware(proof);
      await this.#welcome(wire, proof);
      this.#count('accepted');
    } catch (error) {
      const { log } = this.#options;
      const code = error instanceof HelloError ? error.code : 'ERR_HELLO_INTERNAL';
      this.#count(code);
      if (error instanceof HelloError) log.info({ code }, 'a device was not admitted');
      else log.error({ err: error }, 'admission failed');
      wire.close(CLOSE.refused, error instanceof HelloError ? error.reason : code);
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

  #judgeSoftware({ deviceKey, software }: Proof): void {
    const { softwarePolicy, log } = this.#options;
    const refusal = judgeSoftware(software, softwarePolicy);
    if (refusal === undefined) return;
    const { thumbprint: device } = deviceKey;
    log.warn({ device, software }, 'a device runs software that is refused; it has to be updated');
    throw softwareRefused(`ERR_HELLO_SOFTWARE ${closeWords(refusal)}`);
  }

  async #welcome(wire: WebSocketWire, proof: Proof): Promise<void> {
    const { tunnels, standing, runs, streamsPerTunnel, log } = this.#options;
    const { thumbprint } = proof.deviceKey;
    const { instance, slot, software, protocol } = proof;
    const epoch = await tunnels.claim(thumbprint, proof.instance);
    if (epoch === undefined) {
      const { code, message } = helloFailure('ERR_HELLO_SUPERSEDED', 'proof');
      throw new HelloError(code, message);
    }
    sendHello(wire, FRAME.welcome, encodeWelcome({ epoch, ...standing(thumbprint) }));
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
    const tunnel: Tunnel = { thumbprint, instance, slot, epoch, protocol, session };
    const outcome = tunnels.add(tunnel);
    if (outcome === 'revoked') return session.close(CLOSE.revoked, REVOKED);
    if (outcome === 'superseded') {
      session.close(CLOSE.superseded, 'superseded: another instance of this key has connected');
      return;
    }
    wire.deliverTo(session);
    runs(thumbprint, software);
    log.info({ device: thumbprint, slot, epoch, software }, 'tunnel: up');
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

const DEVICE_API = /^\/v1\/device(?:[/?]|$)/;

function softwareRefused(reason: string): HelloError {
  const { code, message } = readRefusal(reason) ?? helloFailure('ERR_HELLO_SOFTWARE', 'proof');
  return new HelloError(code, message, reason);
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
