// Reads the first message of a TLS connection (ClientHello, RFC 8446, section 4.1.2) from the raw
// bytes, before any TLS library sees them: the name that the visitor asks for decides which
// certificate he gets. Only the two extensions that we route by are read; everything else is left to
// the TLS library, which gets the same bytes afterwards. Nothing here throws, whatever comes in.
import { isIP } from 'node:net';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { TLS_LIMITS } from './limits.ts';

export interface ClientHello {
  readonly kind: 'hello';
  /** Canonical. `undefined`: the visitor sent no name, or an IP address (RFC 6066 forbids it). */
  readonly hostname: Hostname | undefined;
  /** The protocols that the visitor offers, in his order; empty without ALPN. */
  readonly alpn: readonly string[];
}

/** Why there will be no handshake. `detail` is for the log, and may carry the visitor's bytes. */
export interface HelloFault {
  readonly kind: 'fault';
  readonly alert: AlertName;
  readonly detail: string;
  /** He speaks HTTP without TLS: he deserves an answer that he can read. */
  readonly plainHttp: boolean;
}

const ALERTS = {
  unexpected_message: 10,
  record_overflow: 22,
  decode_error: 50,
  internal_error: 80,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const;

export type AlertName = keyof typeof ALERTS;

/** The fatal alert as one plaintext record (RFC 8446, section 6). */
export function tlsAlert(fault: { readonly alert: AlertName }): Buffer {
  return Buffer.from([ALERT_RECORD, 3, 1, 0, 2, 2, ALERTS[fault.alert]]);
}

/** Takes the bytes of one connection as they come. After anything but 'more' it takes no further. */
export class ClientHelloReader {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Where the next record header begins; everything before is known to be good. */
  #recordAt = 0;
  /** Handshake bytes in the complete records before `#recordAt`. */
  #messageBytes = 0;
  #records = 0;
  /** With its header; 0 until its header is there. */
  #messageLength = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number = TLS_LIMITS.helloBytesMax) {
    this.#bytesMax = bytesMax;
  }

  push(bytes: Buffer): 'more' | ClientHello | HelloFault {
    this.#append(bytes);
    const message = this.#readRecords();
    return Buffer.isBuffer(message) ? readHello(message) : message;
  }

  /** All that was pushed, in order, for the TLS library. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** One segment is the rule and is not copied; else the buffer grows by doubling. */
  #append(bytes: Buffer): void {
    if (this.#length === 0) {
      this.#buffer = bytes;
      this.#length = bytes.length;
      return;
    }
    const length = this.#length + bytes.length;
    if (length > this.#buffer.length || this.#length === this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#length * 2, 512));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  /** The whole ClientHello with its 4-byte header, once all records of it are there. */
  #readRecords(): 'more' | Buffer | HelloFault {
    while (true) {
      const at = this.#recordAt;
      const buffer = this.#buffer;
      const available = this.#length - at;
      if (available > 0 && buffer[at] !== HANDSHAKE_RECORD) return this.#notTls(at);
      if (available > 1 && buffer[at + 1] !== 3) return fault('decode_error', 'record version');
      if (available < RECORD_HEADER_BYTES) return 'more';
      const bodyBytes = buffer.readUInt16BE(at + 3);
      if (bodyBytes === 0) return fault('unexpected_message', 'empty record');
      if (at + RECORD_HEADER_BYTES + bodyBytes > this.#bytesMax) {
        return fault('record_overflow', 'hello too long');
      }
      if (at === 0 && available > RECORD_HEADER_BYTES && buffer[5] !== CLIENT_HELLO) {
        return fault('unexpected_message', 'handshake does not begin with a ClientHello');
      }
      if (available < RECORD_HEADER_BYTES + bodyBytes) return 'more';
      this.#recordAt = at + RECORD_HEADER_BYTES + bodyBytes;
      this.#messageBytes += bodyBytes;
      this.#records += 1;
      const message = this.#message();
      if (message !== 'more') return message;
    }
  }

  /** Joins records only twice, for the length and at the end: there may be thousands of tiny ones. */
  #message(): 'more' | Buffer | HelloFault {
    if (this.#messageBytes < MESSAGE_HEADER_BYTES) return 'more';
    this.#messageLength ||= MESSAGE_HEADER_BYTES + this.#joined().readUIntBE(1, 3);
    if (this.#messageLength > this.#bytesMax) return fault('record_overflow', 'hello too long');
    if (this.#messageBytes < this.#messageLength) return 'more';
    // RFC 8446, section 5.1: no key change may hide in the middle of a record.
    if (this.#messageBytes > this.#messageLength) {
      return fault('unexpected_message', 'bytes after the ClientHello');
    }
    return this.#joined();
  }

  #joined(): Buffer {
    if (this.#records === 1) return this.#buffer.subarray(RECORD_HEADER_BYTES, this.#recordAt);
    const parts: Buffer[] = [];
    for (let at = 0; at < this.#recordAt; ) {
      const end = at + RECORD_HEADER_BYTES + this.#buffer.readUInt16BE(at + 3);
      parts.push(this.#buffer.subarray(at + RECORD_HEADER_BYTES, end));
      at = end;
    }
    return Buffer.concat(parts);
  }

  #notTls(at: number): HelloFault {
    const first = this.#buffer[at] ?? 0;
    const plainHttp = at === 0 && first >= 0x41 && first <= 0x5a;
    const detail = plainHttp ? 'HTTP without TLS' : 'no handshake record';
    return { kind: 'fault', alert: 'unexpected_message', detail, plainHttp };
  }
}

const RECORD_HEADER_BYTES = 5;
const MESSAGE_HEADER_BYTES = 4;
const ALERT_RECORD = 21;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const HOST_NAME = 0;

function fault(alert: AlertName, detail: string): HelloFault {
  return { kind: 'fault', alert, detail, plainHttp: false };
}

/** Walks over version, random, session id, suites and compression to the extensions. */
function readHello(message: Buffer): ClientHello | HelloFault {
  let at = MESSAGE_HEADER_BYTES + 2 + 32;
  at += 1 + byteAt(message, at);
  at += 2 + pairAt(message, at);
  at += 1 + byteAt(message, at);
  if (at === message.length) return { kind: 'hello', hostname: undefined, alpn: [] };
  const end = at + 2 + pairAt(message, at);
  if (end !== message.length) return fault('decode_error', 'lengths do not add up');
  return readExtensions(message, at + 2);
}

function readExtensions(message: Buffer, start: number): ClientHello | HelloFault {
  let name: Buffer | undefined;
  let alpn: readonly string[] | undefined;
  let at = start;
  while (at < message.length) {
    const type = pairAt(message, at);
    const end = at + 4 + pairAt(message, at + 2);
    if (end > message.length) return fault('decode_error', 'extension too long');
    if (type === SERVER_NAME) {
      if (name !== undefined) return fault('decode_error', 'two server_name extensions');
      const read = readServerName(message.subarray(at + 4, end));
      if (!Buffer.isBuffer(read)) return read;
      name = read;
    } else if (type === ALPN) {
      if (alpn !== undefined) return fault('decode_error', 'two ALPN extensions');
      alpn = readAlpn(message.subarray(at + 4, end));
      if (alpn === undefined) return fault('decode_error', 'malformed ALPN');
    }
    at = end;
  }
  if (name === undefined) return { kind: 'hello', hostname: undefined, alpn: alpn ?? [] };
  return withName(name.toString('latin1'), alpn ?? []);
}

/** RFC 6066, section 3: a list that for us has exactly one entry, of the only type that exists. */
function readServerName(body: Buffer): Buffer | HelloFault {
  if (body.length < 2 || pairAt(body, 0) !== body.length - 2) {
    return fault('decode_error', 'malformed server_name');
  }
  if (body.length < 5 || body[2] !== HOST_NAME) {
    return fault('unrecognized_name', 'no host_name in server_name');
  }
  const end = 5 + pairAt(body, 3);
  if (end > body.length) return fault('decode_error', 'malformed server_name');
  if (end < body.length) return fault('unrecognized_name', 'more than one server_name');
  return body.subarray(5);
}

function withName(name: string, alpn: readonly string[]): ClientHello | HelloFault {
  const hostname = parseHostname(name);
  if (hostname !== undefined) return { kind: 'hello', hostname, alpn };
  if (isIP(name) !== 0) return { kind: 'hello', hostname: undefined, alpn };
  return fault('unrecognized_name', `not a hostname: ${name}`);
}

/** RFC 7301, section 3.1. */
function readAlpn(body: Buffer): readonly string[] | undefined {
  if (body.length < 4 || pairAt(body, 0) !== body.length - 2) return undefined;
  const protocols: string[] = [];
  let at = 2;
  while (at < body.length) {
    const end = at + 1 + byteAt(body, at);
    if (end === at + 1 || end > body.length) return undefined;
    protocols.push(body.toString('latin1', at + 1, end));
    at = end;
  }
  return protocols;
}

/** Beyond the end there are zeros: the walk then ends past the message, which its caller refuses. */
function byteAt(bytes: Buffer, at: number): number {
  return bytes[at] ?? 0;
}

function pairAt(bytes: Buffer, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}
