// Which form of a problem page a visitor prefers, by Accept (RFC 9110, section 12.5.1).

export type Form = 'html' | 'json' | 'text';

/**
 * The form with the highest q. Among equals, one that is named beats one that only matches a
 * wildcard, then the one named first. So browsers, which name text/html, get a page, and programs
 * that send a bare wildcard or nothing (curl, fetch) get plain text. When nothing fits it is text
 * as well: an answer in a wrong form tells more than a 406.
 */
export function acceptedForm(accept: string | undefined): Form {
  let best: Form = 'text';
  let bestRank = 0;
  if (accept === undefined) return best;
  const ranges = accept.slice(0, ACCEPT_CHARS_MAX).toLowerCase().split(',').map(mediaRange);
  for (const form of FORMS) {
    const rank = formRank(form, ranges);
    if (rank > bestRank) {
      best = form;
      bestRank = rank;
    }
  }
  return best;
}

/** Browsers send about 150; what comes after cannot be worth much to anyone. */
const ACCEPT_CHARS_MAX = 1_024;

interface MediaRange {
  readonly type: string;
  /** Thousandths; 0 means "not this". */
  readonly quality: number;
}

/** In the order in which they win when only a wildcard speaks for them. */
const FORMS: readonly Form[] = ['text', 'json', 'html'];

const NAMES: Readonly<Record<Form, readonly string[]>> = {
  html: ['text/html'],
  json: ['application/problem+json', 'application/json'],
  text: ['text/plain'],
};

function mediaRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';');
  let quality = 1_000;
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=');
    if (name.trim() !== 'q') continue;
    const q = Number(value.trim() || Number.NaN);
    quality = q >= 0 && q <= 1 ? Math.round(q * 1_000) : 0;
  }
  return { type: type.trim(), quality };
}

/** Sorts by quality first, then by how it was named, then by place; 0 when it is not accepted. */
function formRank(form: Form, ranges: readonly MediaRange[]): number {
  let place = ranges.findIndex(({ type }) => NAMES[form].includes(type));
  let named = 2;
  if (place === -1) {
    const wildcard = form === 'json' ? 'application/*' : 'text/*';
    place = ranges.findIndex(({ type }) => type === wildcard);
    named = 1;
  }
  if (place === -1) {
    place = ranges.findIndex(({ type }) => type === '*/*');
    named = 0;
  }
  const quality = ranges[place]?.quality ?? 0;
  if (quality === 0) return 0;
  return (quality * 3 + named) * ACCEPT_CHARS_MAX + (ACCEPT_CHARS_MAX - 1 - place);
}
