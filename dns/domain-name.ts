// Domain names between text and wire. Wider than the hostnames of name.ts: `_acme-challenge`, `*` and
// any bytes by escapes (`\.`, `\\`, `\065`; RFC 1035, section 5.1). Text is absolute with or without
// its last dot; the root is `.` or an empty text. Both directions give lower case.

const DOMAIN_NAME_LIMITS = {
  /** RFC 1035, section 2.3.4: a length byte has six bits. */
  labelBytesMax: 63,
  /** RFC 1035, section 2.3.4: with all length bytes and the root label. */
  wireBytesMax: 255,
} as const;

const DOT = 0x2e;
const BACKSLASH = 0x5c;

/** The uncompressed wire form, or undefined when the text is no domain name. */
export function encodeName(text: string): Buffer | undefined {
  const labels = splitName(text);
  if (labels === undefined) return undefined;
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.of(label.length), Buffer.from(label, 'latin1')]),
    Buffer.of(0),
  ]);
}

/** The labels of a text, each a character per byte; undefined when it is no domain name. */
export function splitName(text: string): string[] | undefined {
  if (text === '' || text === '.') return [];
  const labels: string[] = [];
  let label = '';
  let bytes = 1;
  for (let at = 0; at <= text.length; at += 1) {
    const code = at < text.length ? text.charCodeAt(at) : DOT;
    if (code === DOT) {
      if (label === '') return at === text.length && text.endsWith('.') ? labels : undefined;
      bytes += label.length + 1;
      if (label.length > DOMAIN_NAME_LIMITS.labelBytesMax) return undefined;
      if (bytes > DOMAIN_NAME_LIMITS.wireBytesMax) return undefined;
      labels.push(label);
      label = '';
    } else if (code === BACKSLASH) {
      const escaped = readEscape(text, at);
      if (escaped === undefined) return undefined;
      label += String.fromCharCode(lowerByte(escaped.byte));
      at += escaped.chars - 1;
    } else {
      if (code <= 0x20 || code >= 0x7f) return undefined;
      label += String.fromCharCode(lowerByte(code));
    }
  }
  return labels;
}

/** Reads `\X` or `\DDD` at a place of a text. */
export function readEscape(
  text: string,
  at: number,
): { readonly byte: number; readonly chars: number } | undefined {
  const digits = text.slice(at + 1, at + 4);
  if (/^\d{3}$/.test(digits)) {
    const byte = Number(digits);
    return byte <= 255 ? { byte, chars: 4 } : undefined;
  }
  const code = text.charCodeAt(at + 1);
  // NaN, beyond the end, compares false.
  return code > 0x20 && code < 0x7f && !/\d/.test(digits.charAt(0))
    ? { byte: code, chars: 2 }
    : undefined;
}

/** The text of an uncompressed name, with its last dot, and where it ends. */
export function decodeName(
  wire: Buffer,
  start: number,
): { readonly text: string; readonly end: number } | undefined {
  let text = '';
  let at = start;
  for (;;) {
    const length = wire[at];
    if (length === undefined || length > DOMAIN_NAME_LIMITS.labelBytesMax) return undefined;
    if (at + length - start >= DOMAIN_NAME_LIMITS.wireBytesMax) return undefined;
    at += 1;
    if (length === 0) return { text: text === '' ? '.' : text, end: at };
    if (at + length > wire.length) return undefined;
    for (const byte of wire.subarray(at, at + length)) text += labelCharacter(lowerByte(byte));
    text += '.';
    at += length;
  }
}

function labelCharacter(byte: number): string {
  if (byte <= 0x20 || byte >= 0x7f) return `\\${String(byte).padStart(3, '0')}`;
  const character = String.fromCharCode(byte);
  return '."\\();@$'.includes(character) ? `\\${character}` : character;
}

/**
 * The labels of an uncompressed name, as lookups and the codec use them: in lower case, a character
 * per byte, but a dot and what is not ASCII moved to U+E000 and up. So a label holds no dot, and
 * nobody's idea of lower case in other scripts changes it.
 */
export function wireLabels(wire: Buffer, start: number): string[] {
  const labels: string[] = [];
  let at = start;
  for (let length = wire[at] ?? 0; length !== 0; length = wire[at] ?? 0) {
    labels.push(wireLabel(wire, at));
    at += 1 + length;
  }
  return labels;
}

/** The one of them whose length byte lies at `at`. */
export function wireLabel(wire: Buffer, at: number): string {
  const label = wire.toString('latin1', at + 1, at + 1 + (wire[at] ?? 0));
  return PLAIN_LABEL.test(label) ? label : moveBytes(label);
}

/** What nearly all labels are, with nothing to lower or to move. */
const PLAIN_LABEL = /^[a-z0-9_*-]*$/;
const MOVED = 0xe000;

function moveBytes(label: string): string {
  let moved = '';
  for (let at = 0; at < label.length; at += 1) {
    const byte = lowerByte(label.charCodeAt(at));
    moved += String.fromCharCode(byte === DOT || byte >= 0x80 ? MOVED + byte : byte);
  }
  return moved;
}

/** ASCII only: names compare without regard to the case of A-Z and of nothing else (RFC 4343). */
export function lowerByte(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
