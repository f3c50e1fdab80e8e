// Text from outside, made fit for a log line or a page: one line, bounded, and nothing in it that
// a terminal or a browser would obey instead of show.

/** Replaces what must not be obeyed by `\u{hex}`, and cuts after about `charsMax` characters. */
export function printable(text: string, charsMax: number): string {
  const end = Math.min(text.length, charsMax);
  for (let at = 0; at < end; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return escaped(text, charsMax);
  }
  return text.length > charsMax ? `${text.slice(0, charsMax)}...` : text;
}

function escaped(text: string, charsMax: number): string {
  let result = '';
  for (const character of text) {
    if (result.length >= charsMax) return `${result}...`;
    const code = character.codePointAt(0) ?? 0;
    result += isObeyed(code) ? `\\u{${code.toString(16)}}` : character;
  }
  return result;
}

/**
 * Controls of ASCII and Latin-1, line separators, surrogates without a partner, and the characters
 * that reorder or hide their neighbours (Unicode TR 36, section 2.5).
 */
function isObeyed(code: number): boolean {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  if (code < 0x061c) return code === 0xad;
  return (
    code === 0x061c ||
    (code >= 0x200b && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2060 && code <= 0x206f) ||
    (code >= 0xd800 && code <= 0xdfff) ||
    code === 0xfeff ||
    (code >= 0xfff0 && code <= 0xfffb) ||
    (code >= 0xe0000 && code <= 0xe007f)
  );
}
