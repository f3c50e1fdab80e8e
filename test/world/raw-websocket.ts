// A WebSocket client that says any bytes, right or wrong, to the relay's door for devices.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { SUBPROTOCOL } from '../../relay/protocol/limits.ts';
import { within } from './program-process.ts';
import { type Door, until } from './visits.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameShape {
  readonly opcode: number;
  readonly final?: boolean;
  /** Three bits. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** What the header says, when it is not the truth. */
  readonly claimedBytes?: bigint;
}

const WAIT_MS = 15_000;

export class RawWebSocket implements Disposable {
  readonly socket: TLSSocket;
  /** Payloads of the binary messages that came. */
  readonly messages: Buffer[] = [];
  pongs = 0;
  /** The close frame, or 1006 when the connection ended without one. */
  closed: { readonly code: number; readonly reason: string } | undefined;
  /** The response to the upgrade. */
  head: string | undefined;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#parse();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed ??= { code: 1006, reason: '' };
    });
  }

  /** TLS only; nothing is said yet. */
  static async dial(door: Door, servername: string): Promise<RawWebSocket> {
    const { address: host, port, caPem: ca } = door;
    const socket = connect({ host, port, servername, ca, ALPNProtocols: ['http/1.1'] });
    await within(once(socket, 'secureConnect'), WAIT_MS, 'TLS');
    return new RawWebSocket(socket);
  }

  /** After a right upgrade, with a few fields more. */
  static async open(
    door: Door,
    servername: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<RawWebSocket> {
    const client = await RawWebSocket.dial(door, servername);
    client.upgrade(servername, more);
    await client.until(() => client.head !== undefined, 'an answer to the upgrade');
    return client;
  }

  upgrade(host: string, more: Readonly<Record<string, string>> = {}): void {
    const fields = {
      Host: host,
      Upgrade: 'websocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Protocol': SUBPROTOCOL,
      'Waygate-Nonce': randomBytes(24).toString('base64url'),
      ...more,
    };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(`GET / HTTP/1.1\r\n${lines.join('')}\r\n`);
  }

  get status(): number {
    return Number(this.head?.split(' ')[1]);
  }

  say(shape: FrameShape, payload: Buffer = Buffer.alloc(0)): void {
    this.socket.write(webSocketFrame(shape, payload));
  }

  sayBinary(payload: Buffer): void {
    this.say({ opcode: OPCODE.binary }, payload);
  }

  /** The message of this index, once it is there. */
  async message(index: number): Promise<Buffer> {
    await this.until(() => this.messages.length > index, `message ${index}`);
    return this.messages[index] ?? Buffer.alloc(0);
  }

  async close(withinMs = WAIT_MS): Promise<{ readonly code: number; readonly reason: string }> {
    await until(() => this.closed !== undefined, withinMs, 'the end of a WebSocket');
    return this.closed ?? { code: 0, reason: '' };
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    await until(() => holds() || this.closed !== undefined, WAIT_MS, what);
    if (holds()) return;
    throw new Error(`${what}: closed (${JSON.stringify(this.closed)}) after ${this.head}`);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #parse(): void {
    if (this.head === undefined) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end === -1) return;
      this.head = this.#bytes.toString('latin1', 0, end);
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    while (this.#takeFrame());
  }

  /** What a relay sends is final and not masked. */
  #takeFrame(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 2) return false;
    const short = (bytes[1] ?? 0) & 0x7f;
    const headerBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < headerBytes) return false;
    const length =
      short === 126
        ? bytes.readUInt16BE(2)
        : short === 127
          ? Number(bytes.readBigUInt64BE(2))
          : short;
    if (bytes.length < headerBytes + length) return false;
    const payload = bytes.subarray(headerBytes, headerBytes + length);
    this.#bytes = bytes.subarray(headerBytes + length);
    const opcode = (bytes[0] ?? 0) & 0x0f;
    if (opcode === OPCODE.binary) this.messages.push(payload);
    else if (opcode === OPCODE.pong) this.pongs += 1;
    else if (opcode === OPCODE.close && payload.length >= 2) {
      this.closed ??= { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
    }
    return true;
  }
}

export function webSocketFrame(shape: FrameShape, payload: Buffer): Buffer {
  const { opcode, final = true, reserved = 0, masked = true } = shape;
  const length = shape.claimedBytes ?? BigInt(payload.length);
  const maskBit = masked ? 0x80 : 0;
  const first = (final ? 0x80 : 0) | (reserved << 4) | opcode;
  const header = Buffer.alloc(length < 126n ? 2 : length < 65_536n ? 4 : 10);
  header[0] = first;
  if (header.length === 2) header[1] = maskBit | Number(length);
  else if (header.length === 4) {
    header[1] = maskBit | 126;
    header.writeUInt16BE(Number(length), 2);
  } else {
    header[1] = maskBit | 127;
    header.writeBigUInt64BE(length, 2);
  }
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([header, Buffer.alloc(masked ? 4 : 0), payload]);
}
