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
