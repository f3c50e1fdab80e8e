// RDATA between presentation text and wire form: A, AAAA, NS, CNAME, SOA, TXT, CAA, HTTPS (and SVCB),
// and for every other type the generic form `\# length hex` of RFC 3597, which known types accept
// too. Names are absolute with or without their last dot, and lower case in the wire form, so that
// equal records are equal bytes. Malformed text or bytes give `undefined`.
import { decodeName, encodeName, readEscape } from './domain-name.ts';
import { decodeIpv4, decodeIpv6, encodeIpv4, encodeIpv6 } from './ip-text.ts';
import { TYPE } from './record.ts';
import { decodeServiceBinding, encodeServiceBinding } from './svcb.ts';

const RDATA_LIMITS = {
  /** RDLENGTH has 16 bits, and a message of 65,535 bytes must hold the record besides a question. */
  wireBytesMax: 65_000,
  /** A character-string has one length byte (RFC 1035, section 3.3). */
  stringBytesMax: 255,
} as const;

interface Codec {
  readonly encode: (words: readonly string[]) => Buffer | undefined;
  readonly decode: (data: Buffer) => string | undefined;
}

const NAME: Codec = {
  encode: (words) => (words.length === 1 ? encodeName(words[0] ?? '') : undefined),
  decode: (data) => {
    const name = decodeName(data, 0);
    return name?.end === data.length ? name.text : undefined;
  },
};

const SERVICE_BINDING: Codec = { encode: encodeServiceBinding, decode: decodeServiceBinding };

const CODECS: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [TYPE.A, { encode: (words) => only(words, encodeIpv4), decode: decodeIpv4 }],
  [TYPE.AAAA, { encode: (words) => only(words, encodeIpv6), decode: decodeIpv6 }],
  [TYPE.NS, NAME],
  [TYPE.CNAME, NAME],
  [TYPE.SOA, { encode: encodeSoa, decode: decodeSoa }],
  [TYPE.TXT, { encode: encodeTxt, decode: decodeTxt }],
  [TYPE.CAA, { encode: encodeCaa, decode: decodeCaa }],
  [TYPE.SVCB, SERVICE_BINDING],
  [TYPE.HTTPS, SERVICE_BINDING],
]);

export function parseRdata(type: number, text: string): Buffer | undefined {
  const words = splitWords(text);
  if (words === undefined) return undefined;
  const data = words[0] === '\\#' ? parseGeneric(type, words) : CODECS.get(type)?.encode(words);
  return data !== undefined && data.length <= RDATA_LIMITS.wireBytesMax ? data : undefined;
}

/** Always a text that `parseRdata` reads back to the same bytes. */
export function rdataText(type: number, data: Buffer): string {
  const text = CODECS.get(type)?.decode(data);
  if (text !== undefined && parseRdata(type, text)?.equals(data) === true) return text;
  return `\\# ${data.length}${data.length === 0 ? '' : ' '}${data.toString('hex')}`;
}

/** Data of a known type is checked, and spelled as its own text would be: names in lower case. */
function parseGeneric(type: number, words: readonly string[]): Buffer | undefined {
  const hex = words.slice(2).join('');
  if (!/^\d{1,5}$/.test(words[1] ?? '') || !/^([0-9a-f]{2})*$/i.test(hex)) return undefined;
  const data = Buffer.from(hex, 'hex');
  if (data.length !== Number(words[1])) return undefined;
  const codec = CODECS.get(type);
  if (codec === undefined) return data;
  const text = codec.decode(data);
  return text === undefined ? undefined : parseRdata(type, text);
}

function only(
  words: readonly string[],
  encode: (text: string) => Buffer | undefined,
): Buffer | undefined {
  return words.length === 1 ? encode(words[0] ?? '') : undefined;
}

/** Words apart by blanks; a quoted part may hold blanks. Escapes are left for whoever reads a word. */
function splitWords(text: string): string[] | undefined {
  const words: string[] = [];
  const pattern = /\s*((?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*")+)\s*/sy;
  while (pattern.lastIndex < text.length) {
    const word = pattern.exec(text)?.[1];
    if (word === undefined) return undefined;
    words.push(word);
  }
  return words.length === 0 ? undefined : words;
}

function encodeSoa(words: readonly string[]): Buffer | undefined {
  const [primary = '', mailbox = '', ...numbers] = words;
  const names = [encodeName(primary), encodeName(mailbox)];
  if (numbers.length !== 5 || !numbers.every(isUint32)) return undefined;
  const fixed = Buffer.alloc(20);
  for (const [index, number] of numbers.entries()) fixed.writeUInt32BE(Number(number), index * 4);
  const [first, second] = names;
  return first === undefined || second === undefined
    ? undefined
    : Buffer.concat([first, second, fixed]);
}

function decodeSoa(data: Buffer): string | undefined {
  const primary = decodeName(data, 0);
  const mailbox = primary === undefined ? undefined : decodeName(data, primary.end);
  if (primary === undefined || mailbox === undefined) return undefined;
  if (mailbox.end + 20 !== data.length) return undefined;
  const numbers = [0, 4, 8, 12, 16].map((at) => data.readUInt32BE(mailbox.end + at));
  return [primary.text, mailbox.text, ...numbers].join(' ');
}

function isUint32(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff;
}

/** A string beyond 255 bytes becomes several, which readers join again (RFC 7208, section 3.3). */
function encodeTxt(words: readonly string[]): Buffer | undefined {
  const parts: Buffer[] = [];
  for (const word of words) {
    const bytes = parseString(word);
    if (bytes === undefined) return undefined;
    let at = 0;
    do {
      const part = bytes.subarray(at, at + RDATA_LIMITS.stringBytesMax);
      parts.push(Buffer.of(part.length), part);
      at += part.length;
    } while (at < bytes.length);
  }
  return Buffer.concat(parts);
}

function decodeTxt(data: Buffer): string | undefined {
  const words: string[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + (data[at] ?? 0);
    if (end > data.length) return undefined;
    words.push(stringText(data.subarray(at + 1, end)));
    at = end;
  }
  return words.length === 0 ? undefined : words.join(' ');
}

/** RFC 8659, section 4.1: flags, tag, value. */
function encodeCaa(words: readonly string[]): Buffer | undefined {
  const [flags = '', tag = '', word = ''] = words;
  const value = parseString(word);
  if (words.length !== 3 || value === undefined) return undefined;
  if (!/^\d{1,3}$/.test(flags) || Number(flags) > 255) return undefined;
  if (!/^[0-9a-z]{1,255}$/i.test(tag)) return undefined;
  return Buffer.concat([Buffer.of(Number(flags), tag.length), Buffer.from(tag, 'latin1'), value]);
}

function decodeCaa(data: Buffer): string | undefined {
  const [flags, length = 0] = data;
  const tag = data.toString('latin1', 2, 2 + length);
  if (flags === undefined || tag.length < length || !/^[0-9a-z]+$/i.test(tag)) return undefined;
  return `${flags} ${tag} ${stringText(data.subarray(2 + length))}`;
}

/** The bytes of a character-string, quoted or not. */
function parseString(word: string): Buffer | undefined {
  const quoted = word.startsWith('"');
  if (quoted && (word.length < 2 || !word.endsWith('"'))) return undefined;
  const text = quoted ? word.slice(1, -1) : word;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x22 || code < 0x20 || code > 0x7e) return undefined;
    if (code !== 0x5c) {
      bytes.push(code);
      continue;
    }
    const escaped = readEscape(text, at);
    if (escaped === undefined) return undefined;
    bytes.push(escaped.byte);
    at += escaped.chars - 1;
  }
  return Buffer.from(bytes);
}

function stringText(bytes: Buffer): string {
  let text = '';
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) text += `\\${String(byte).padStart(3, '0')}`;
    else if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else text += String.fromCharCode(byte);
  }
  return `"${text}"`;
}
