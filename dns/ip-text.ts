// IP addresses between text and their 4 or 16 bytes. node:net judges the text; IPv6 text is written in
// the one form of RFC 5952.
import { isIPv4, isIPv6 } from 'node:net';

export function encodeIpv4(text: string): Buffer | undefined {
  return isIPv4(text) ? Buffer.from(text.split('.').map(Number)) : undefined;
}

export function decodeIpv4(data: Buffer): string | undefined {
  return data.length === 4 ? data.join('.') : undefined;
}

export function encodeIpv6(text: string): Buffer | undefined {
  // A zone (`fe80::1%eth0`) means something on one host only.
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const [head = '', tail] = text.split('::');
  const left = groups(head);
  const right = groups(tail ?? '');
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  const data = Buffer.alloc(16);
  const all = [...left, ...new Array<number>(gap).fill(0), ...right];
  for (const [index, group] of all.entries()) data.writeUInt16BE(group, index * 2);
  return data;
}

/** The 16-bit numbers of a part; an IPv4 tail (`::ffff:192.0.2.1`) makes two of them. */
function groups(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((word) => {
    if (!word.includes('.')) return [Number.parseInt(word, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

const COLON = 0x3a;
const DOT = 0x2e;
const MAPPED = '::ffff:';

/**
 * Writes the bytes of an address as the system names a sender, its zone left out, and returns how many
 * they are. For every packet, so without regular expressions and lists.
 */
export function writeSender(address: string, out: Buffer): 4 | 16 {
  const zoneAt = address.indexOf('%');
  const end = zoneAt === -1 ? address.length : zoneAt;
  // A socket for both families shows IPv4 senders in this form.
  const colon = address.lastIndexOf(':');
  const tailed = colon !== -1 && address.indexOf('.', colon) !== -1 && zoneAt === -1;
  if (colon === -1 || (tailed && colon === MAPPED.length - 1 && address.startsWith(MAPPED))) {
    writeIpv4(address, colon + 1, out);
    return 4;
  }
  const whole = tailed ? encodeIpv6(address) : undefined;
  if (whole === undefined) writeIpv6(address, end, out);
  else whole.copy(out);
  return 16;
}

function writeIpv4(address: string, start: number, out: Buffer): void {
  let number = 0;
  let at = 0;
  for (let index = start; index < address.length; index += 1) {
    const code = address.charCodeAt(index);
    if (code === DOT) {
      out[at] = number;
      at += 1;
      number = 0;
    } else number = number * 10 + digit(code);
  }
  out[at] = number;
}

/** `::` is a gap, into whose end everything behind it moves at last. */
function writeIpv6(address: string, end: number, out: Buffer): void {
  let gap = 16;
  let at = 0;
  let group = 0;
  let digits = 0;
  for (let index = 0; index <= end; index += 1) {
    const code = index === end ? COLON : address.charCodeAt(index);
    if (code !== COLON) {
      group = group * 16 + digit(code);
      digits += 1;
    } else if (digits > 0) {
      out[at] = group >> 8;
      out[at + 1] = group;
      at += 2;
      group = 0;
      digits = 0;
    } else if (index < end) gap = at;
  }
  const behind = Math.max(0, at - gap);
  for (let left = 1; left <= behind; left += 1) out[16 - left] = out[at - left] ?? 0;
  for (let zero = Math.min(gap, at); zero < 16 - behind; zero += 1) out[zero] = 0;
}

/** Of hexadecimal or decimal. */
function digit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}

export function decodeIpv6(data: Buffer): string | undefined {
  if (data.length !== 16) return undefined;
  const words = Array.from({ length: 8 }, (_, index) => data.readUInt16BE(index * 2));
  let start = 0;
  let length = 0;
  for (let at = 0; at < 8; at += 1) {
    let run = 0;
    while (words[at + run] === 0) run += 1;
    if (run > length) [start, length] = [at, run];
  }
  const text = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(':');
  return length < 2 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`;
}
