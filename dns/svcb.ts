// The RDATA of HTTPS and SVCB (RFC 9460): priority, target, and parameters in ascending order of their
// numbers. Parameters beyond the known ones are written `key667=value` with escapes.
import { decodeName, encodeName, readEscape } from './domain-name.ts';
import { decodeIpv4, decodeIpv6, encodeIpv4, encodeIpv6 } from './ip-text.ts';

const KEYS = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint'];
const [MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, ECH, IPV6HINT] = [0, 1, 2, 3, 4, 5, 6];

export function encodeServiceBinding(words: readonly string[]): Buffer | undefined {
  const [priority = '', target = '', ...texts] = words;
  const name = encodeName(target);
  if (!/^\d{1,5}$/.test(priority) || Number(priority) > 65_535) return undefined;
  if (name === undefined || target === '') return undefined;
  const parameters = new Map<number, Buffer>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const key = parseKey(equals === -1 ? text : text.slice(0, equals));
    const value = parseValue(equals === -1 ? '' : text.slice(equals + 1));
    const data = key === undefined || value === undefined ? undefined : encodeValue(key, value);
    if (key === undefined || data === undefined || parameters.has(key)) return undefined;
    parameters.set(key, data);
  }
  // Priority 0 is an alias; it has no parameters (section 2.4.2).
  if (Number(priority) === 0 && parameters.size > 0) return undefined;
  const sorted = [...parameters].sort(([one], [other]) => one - other);
  const parts = sorted.flatMap(([key, data]) => [uint16(key), uint16(data.length), data]);
  return Buffer.concat([uint16(Number(priority)), name, ...parts]);
}

export function decodeServiceBinding(data: Buffer): string | undefined {
  const target = data.length < 3 ? undefined : decodeName(data, 2);
  if (target === undefined) return undefined;
  const words = [String(data.readUInt16BE(0)), target.text];
  let at = target.end;
  while (at < data.length) {
    if (at + 4 > data.length) return undefined;
    const key = data.readUInt16BE(at);
    const end = at + 4 + data.readUInt16BE(at + 2);
    if (end > data.length) return undefined;
    const value = decodeValue(key, data.subarray(at + 4, end));
    if (value === undefined) return undefined;
    words.push(value === '' ? keyName(key) : `${keyName(key)}=${value}`);
    at = end;
  }
  return words.join(' ');
}

function parseKey(text: string): number | undefined {
  const known = KEYS.indexOf(text.toLowerCase());
  if (known !== -1) return known;
  const digits = /^key(0|[1-9]\d{0,4})$/i.exec(text)?.[1];
  const key = Number(digits ?? Number.NaN);
  return key < 65_535 ? key : undefined;
}

function keyName(key: number): string {
  return KEYS[key] ?? `key${key}`;
}

function encodeValue(key: number, value: Buffer): Buffer | undefined {
  const text = value.toString('latin1');
  const items = text === '' ? [] : text.split(',');
  if (key === MANDATORY) {
    const keys = items.map(parseKey).sort((one, other) => (one ?? 0) - (other ?? 0));
    return concat(keys.map((item) => (item === undefined ? undefined : uint16(item))));
  }
  // Protocol names that hold a comma do not exist; without them the list needs no second escaping.
  if (key === ALPN) return concat(items.map(encodeProtocol));
  if (key === NO_DEFAULT_ALPN) return value.length === 0 ? value : undefined;
  if (key === PORT) {
    return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? uint16(Number(text)) : undefined;
  }
  if (key === IPV4HINT) return concat(items.map(encodeIpv4));
  if (key === IPV6HINT) return concat(items.map(encodeIpv6));
  if (key !== ECH) return value;
  const data = Buffer.from(text, 'base64');
  return data.length > 0 && data.toString('base64') === text ? data : undefined;
}

function encodeProtocol(text: string): Buffer | undefined {
  if (text.length < 1 || text.length > 255 || text.includes('\\')) return undefined;
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')]);
}

function concat(parts: readonly (Buffer | undefined)[]): Buffer | undefined {
  const whole = parts.filter((part) => part !== undefined);
  return whole.length === parts.length && parts.length > 0 ? Buffer.concat(whole) : undefined;
}

function decodeValue(key: number, data: Buffer): string | undefined {
  if (key === MANDATORY) return join(slices(data, 2), (part) => keyName(part.readUInt16BE(0)));
  if (key === ALPN) return join(strings(data), (part) => valueText(part.toString('latin1')));
  if (key === NO_DEFAULT_ALPN) return data.length === 0 ? '' : undefined;
  if (key === PORT) return data.length === 2 ? String(data.readUInt16BE(0)) : undefined;
  if (key === IPV4HINT) return join(slices(data, 4), decodeIpv4);
  if (key === IPV6HINT) return join(slices(data, 16), decodeIpv6);
  if (key === ECH) return data.length > 0 ? data.toString('base64') : undefined;
  return valueText(data.toString('latin1'));
}

function join(
  parts: readonly Buffer[] | undefined,
  text: (part: Buffer) => string | undefined,
): string | undefined {
  const texts = parts?.map(text);
  return texts?.every((part) => part !== undefined) ? texts.join(',') : undefined;
}

function slices(data: Buffer, size: number): Buffer[] | undefined {
  if (data.length === 0 || data.length % size !== 0) return undefined;
  return Array.from({ length: data.length / size }, (_, index) =>
    data.subarray(index * size, (index + 1) * size),
  );
}

function strings(data: Buffer): Buffer[] | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + (data[at] ?? 0);
    if (end > data.length || end === at + 1) return undefined;
    parts.push(data.subarray(at + 1, end));
    at = end;
  }
  return parts.length === 0 ? undefined : parts;
}

/** Every byte but letters, digits and harmless marks as `\DDD`, so that a word needs no quotes. */
function valueText(text: string): string {
  return text.replace(
    /[^0-9A-Za-z./+=_-]/g,
    (character) => `\\${String(character.charCodeAt(0)).padStart(3, '0')}`,
  );
}

function parseValue(word: string): Buffer | undefined {
  const quoted = word.length >= 2 && word.startsWith('"') && word.endsWith('"');
  const text = quoted ? word.slice(1, -1) : word;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const found = text[at] === '\\' ? readEscape(text, at) : undefined;
    if (text[at] === '\\' && found === undefined) return undefined;
    if (text[at] === '"' || text.charCodeAt(at) > 0x7e) return undefined;
    bytes.push(found?.byte ?? text.charCodeAt(at));
    at += (found?.chars ?? 1) - 1;
  }
  return Buffer.from(bytes);
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}
