// DNS messages made byte by byte, right ones and wrong ones.
import { encodeName } from '../../dns/domain-name.ts';

export interface MessageParts {
  readonly id?: number;
  readonly flags?: number;
  /** Questions, answers, authorities, additionals; by default what is there. */
  readonly counts?: readonly [number, number, number, number];
  readonly name?: string | Buffer;
  readonly type?: number;
  readonly class?: number;
  /** What follows the question. */
  readonly rest?: Buffer;
  readonly additionals?: number;
}

export function message(parts: MessageParts = {}): Buffer {
  const { id = 0x1234, flags = 0, name = 'dev1.vendor.test', type = 1, class: asClass = 1 } = parts;
  const { rest = Buffer.alloc(0) } = parts;
  const counts = parts.counts ?? [1, 0, 0, parts.additionals ?? (rest.length > 0 ? 1 : 0)];
  const wire = typeof name === 'string' ? wireName(name) : name;
  return Buffer.concat([uint16s(id, flags, ...counts), wire, uint16s(type, asClass), rest]);
}

export function wireName(text: string): Buffer {
  const wire = encodeName(text);
  if (wire === undefined) throw new Error(`${text} is no domain name`);
  // Letter case is kept here, where the codec lowers it.
  let at = 0;
  for (const character of text.replaceAll('.', ' ')) {
    at += 1;
    if (character !== ' ') wire[at] = character.charCodeAt(0);
  }
  return wire;
}

export function uint16s(...values: readonly number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

export function opt(options: Buffer = Buffer.alloc(0), ttl = 0, bytes = 1232): Buffer {
  return Buffer.concat([
    Buffer.of(0),
    uint16s(41, bytes, ttl >>> 16, ttl & 0xffff, options.length),
    options,
  ]);
}

export function option(code: number, data: Buffer, length = data.length): Buffer {
  return Buffer.concat([uint16s(code, length), data]);
}

/** A record with an owner in wire form; the length may lie. */
export function record(owner: Buffer, type: number, data: Buffer, length = data.length): Buffer {
  return Buffer.concat([owner, uint16s(type, 1, 0, 60, length), data]);
}

/** A message as TCP carries it; the length may lie. */
export function framed(bytes: Buffer, length = bytes.length): Buffer {
  return Buffer.concat([uint16s(length), bytes]);
}
