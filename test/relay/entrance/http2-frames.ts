// HTTP/2 frames made by hand, for what no client library would send.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** A raw connection: frames can be written, and all that come are collected. */
export class RawHttp2 {
  readonly frames: Frame[] = [];
  closed = false;
  readonly socket: TLSSocket;
  #received = Buffer.alloc(0);

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.write(PREFACE);
    this.send(FRAME.settings, 0, 0, Buffer.alloc(0));
  }

  send(type: number, flags: number, stream: number, payload: Buffer): void {
    this.socket.write(frame(type, flags, stream, payload));
  }

  sent(type: number, stream: number): Frame | undefined {
    return this.frames.find((one) => one.type === type && one.stream === stream);
  }

  #read(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 9) {
      const length = this.#received.readUIntBE(0, 3);
      if (this.#received.length < 9 + length) return;
      const [type = 0, flags = 0] = this.#received.subarray(3, 5);
      const stream = this.#received.readUInt32BE(5) & 0x7fffffff;
      const payload = Buffer.from(this.#received.subarray(9, 9 + length));
      this.frames.push({ type, flags, stream, payload });
      this.#received = this.#received.subarray(9 + length);
    }
  }
}

export async function openRaw(port: number, servername: string): Promise<RawHttp2> {
  const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false };
  const socket = connect({ ...options, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  return new RawHttp2(socket);
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literals without indexing, without Huffman coding (RFC 7541, section 6.2.2). */
export function hpack(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  );
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
