// The relay's end of tunnels, by hand: it lets devices in by the right hello, with a certificate that
// they trust, and then says any frames to them.
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { openAuthority } from '../../certs/authority.ts';
import { openStore } from '../../certs/store.ts';
import { parseDeviceName, parseHostname } from '../../dns/name.ts';
import { encodeFrame, FRAME, FrameCursor } from '../../relay/protocol/frame.ts';
import { openChallenge, tlsExporter } from '../../relay/protocol/hello.ts';
import { loadOrCreateKey } from '../../relay/protocol/key.ts';
import { LIMITS, SUBPROTOCOL } from '../../relay/protocol/limits.ts';
import { decodeReset, type ResetReason } from '../../relay/protocol/reset-reason.ts';
import { encodeWelcome } from '../../relay/protocol/welcome.ts';
import { type Installation, ZONE } from './installation.ts';

/** A device's tunnel. */
export class RawTunnelEnd {
  readonly socket: WebSocket;
  /** Frames from the device by type. */
  readonly heard = new Map<number, number>();
  readonly resets = new Map<number, ResetReason>();
  closed: { readonly code: number; readonly reason: string } | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => this.#hear(data));
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
  }

  /** One message; settles when the socket has taken it. */
  say(...frames: readonly Buffer[]): Promise<void> {
    return new Promise((settle) => this.socket.send(Buffer.concat(frames), () => settle()));
  }

  #hear(message: Buffer): void {
    const cursor = new FrameCursor();
    cursor.read(message);
    while (cursor.next()) {
      const { type, streamId } = cursor;
      this.heard.set(type, (this.heard.get(type) ?? 0) + 1);
      const reset = type === FRAME.reset ? decodeReset(cursor.payload()) : undefined;
      if (reset !== undefined) this.resets.set(streamId, reset.reason);
      if (type === FRAME.ping) void this.say(encodeFrame(FRAME.pong, 0, cursor.payload()));
    }
  }
}

export class RawRelay implements AsyncDisposable {
  readonly port: number;
  readonly tunnels: RawTunnelEnd[] = [];
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** With the vendor's key and CA, at another port. */
  static async listen(vendor: Installation): Promise<RawRelay> {
    const state = `${vendor.folder}/relay`;
    const [zone, hostname] = [parseHostname(ZONE), parseHostname(`tunnel.${ZONE}`)];
    if (zone === undefined || hostname === undefined) throw new Error('unreachable');
    const authority = await openAuthority(await openStore(`${state}/certificates`), zone);
    const { certPem: cert, keyPem: key } = await authority.issue([hostname]);
    const vendorKey = await loadOrCreateKey(`${state}/vendor.key`, 'vendor');
    const server = createServer({ cert, key });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const relay = new RawRelay(server, (server.address() as AddressInfo).port);
    const sockets = new WebSocketServer({
      server,
      handleProtocols: () => SUBPROTOCOL,
    });
    sockets.on('connection', (socket, { headers, socket: under }) => {
      void (async () => {
        const facts = {
          relay: hostname,
          deviceNonce: String(headers['waygate-nonce']),
          exporter: under instanceof TLSSocket ? tlsExporter(under) : undefined,
          limits: { streams: LIMITS.streamsMax },
        };
        const clock = { wallMs: Date.now(), monotonicMs: performance.now() };
        const { token } = await openChallenge(facts, vendorKey, clock);
        const answered = once(socket, 'message');
        socket.send(encodeFrame(FRAME.challenge, 0, Buffer.from(token)));
        await answered;
        const name = parseDeviceName('alice');
        const names = name === undefined ? [] : [name];
        socket.send(
          encodeFrame(
            FRAME.welcome,
            0,
            encodeWelcome({ epoch: 1, names, zone, recoveries: [], renewals: [] }),
          ),
        );
        relay.tunnels.push(new RawTunnelEnd(socket));
      })();
    });
    return relay;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.tunnels) socket.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
