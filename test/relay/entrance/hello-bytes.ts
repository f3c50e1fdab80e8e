// ClientHello messages made by hand, so that they can be wrong in one place at a time.
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { connect } from 'node:tls';

/** What a real client sends first; unlike those made by hand, the TLS library accepts it. */
export async function realHello(servername: string, alpn: string[] = []): Promise<Buffer> {
  const [near, far] = duplexPair();
  const client = connect({ socket: near, servername, ALPNProtocols: alpn });
  client.on('error', () => undefined);
  const [bytes]: Buffer[] = await once(far, 'data');
  client.destroy();
  if (bytes === undefined) throw new Error('the client sent nothing');
  return bytes;
}

export interface HelloShape {
  /** The bodies of server_name extensions, in order. */
  readonly serverNames?: readonly Buffer[];
  readonly alpn?: readonly string[];
  readonly extensions?: readonly Buffer[];
  /** Bytes for each record; default: all in one. */
  readonly recordBytes?: number;
}

export function helloBytes(shape: HelloShape): Buffer {
  return records(handshake(helloBody(shape)), shape.recordBytes ?? 16_384);
}

/** The body of a server_name extension with these host_names (latin1). */
export function serverName(...names: readonly string[]): Buffer {
  const entries = names.map((name) => {
    const bytes = Buffer.from(name, 'latin1');
    return Buffer.concat([Buffer.from([0]), sized(2, bytes)]);
  });
  return sized(2, Buffer.concat(entries));
}

export function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([number(2, type), sized(2, body)]);
}

export function handshake(body: Buffer, type = 1): Buffer {
  return Buffer.concat([Buffer.from([type]), sized(3, body)]);
}

export function records(message: Buffer, bytesEach: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += bytesEach) {
    parts.push(Buffer.from([22, 3, 1]), sized(2, message.subarray(at, at + bytesEach)));
  }
  return Buffer.concat(parts);
}

export function helloBody({ serverNames = [], alpn, extensions = [] }: HelloShape): Buffer {
  const all = [...serverNames.map((body) => extension(0, body)), ...extensions];
  if (alpn !== undefined) {
    const list = Buffer.concat(alpn.map((name) => sized(1, Buffer.from(name, 'latin1'))));
    all.push(extension(16, sized(2, list)));
  }
  return Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    sized(1, Buffer.alloc(32, 9)),
    sized(2, Buffer.from([0x13, 0x01, 0xc0, 0x2b])),
    sized(1, Buffer.from([0])),
    sized(2, Buffer.concat(all)),
  ]);
}

function sized(lengthBytes: number, body: Buffer): Buffer {
  return Buffer.concat([number(lengthBytes, body.length), body]);
}

function number(bytes: number, value: number): Buffer {
  const result = Buffer.alloc(bytes);
  result.writeUIntBE(value, 0, bytes);
  return result;
}
