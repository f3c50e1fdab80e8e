// The value of a CAA record `issue` or `issuewild`: `letsencrypt.org; validationmethods=dns-01` (RFC 8659,
// section 4.2, and RFC 8657). It is read as strictly as authorities read it: one that is malformed names
// nobody.

export interface CaaIssue {
  /** In lower case; `undefined`: nobody may sign. */
  readonly issuer: string | undefined;
  /** The accounts that may order; none: any. */
  readonly accounts: readonly string[];
  /** The challenges that prove; `undefined`: any. Two lists of them fit none, as authorities read it. */
  readonly methods: readonly string[] | undefined;
}

/** `undefined`: malformed. */
export function parseCaaIssue(text: string): CaaIssue | undefined {
  const [name = '', ...rest] = text.split(';').map(trimmed);
  if (name.length > ISSUER_CHARS_MAX || !ISSUER.test(name)) return undefined;
  // A semicolon behind which nothing is says nothing.
  const parameters = rest.length === 1 && rest[0] === '' ? [] : rest.map(parameterOf);
  const read = parameters.filter((parameter) => parameter !== undefined);
  if (read.length < parameters.length) return undefined;
  const valuesOf = (tag: string) => read.flatMap((each) => (each.tag === tag ? [each.value] : []));
  const [list, another] = valuesOf('validationmethods');
  const methods = another === undefined ? list?.split(',') : [];
  if (methods?.some((method) => method !== '' && !METHOD.test(method))) return undefined;
  return { issuer: name.toLowerCase() || undefined, accounts: valuesOf('accounturi'), methods };
}

function parameterOf(text: string): { readonly tag: string; readonly value: string } | undefined {
  const [, tag = '', value = ''] = PARAMETER.exec(text) ?? [];
  return tag === '' ? undefined : { tag: tag.toLowerCase(), value };
}

/** By hand: an expression for blanks at the end takes seconds over the 64 KB of them that a record holds. */
function trimmed(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text[start])) start += 1;
  while (end > start && isBlank(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/** Of a domain name. */
const ISSUER_CHARS_MAX = 253;

const LABEL = '[0-9a-z](?:-*[0-9a-z])*';
const ISSUER = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*)?$`, 'i');
/** Printable, without a blank; a semicolon would have ended it. */
const PARAMETER = /^([0-9a-z](?:-*[0-9a-z])*)[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)$/i;
const METHOD = /^[0-9a-z-]+$/i;
