// Whether a request is for `/.well-known/acme-challenge/`, `/.well-known/pki-validation/`, or below. A
// certificate authority that is answered there gives a certificate for the name to whoever answers (RFC
// 8555, section 8.3; Baseline Requirements of the CA/Browser Forum, section 3.2.2.4.18, by which some
// authorities ask that have no ACME), so no such request may reach a workspace. Authorities ask by exactly
// these letters. Every other spelling that a workspace's parser might take for them counts as well, so that
// nobody has to know which one that is.

const FOLDER = '.well-known';
const NAMES: ReadonlySet<string | undefined> = new Set(['acme-challenge', 'pki-validation']);

/**
 * `target` is in origin form. Read are: percent-encoded characters, encoded over again too, empty
 * segments, `.` and `..`, backslashes, parameters behind `;`, and letters of either case. With `..` in
 * it parsers differ so much that the two names anywhere, one after the other, are enough; browsers
 * resolve `..` before they ask. Not read are wrong forms of UTF-8, and what a workspace rewrites by
 * rules of its own.
 */
export function isChallengePath(target: string): boolean {
  // Some segment must begin with a dot: as it is, or with the dot or what is before it encoded.
  return /\/\.|%(?:2[5ef]|5c)/i.test(target) && readsAsChallenge(target);
}

function readsAsChallenge(target: string): boolean {
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  const names = decoded(path)
    .split(/[/\\]/)
    .map((segment) => segment.split(';', 1)[0]);
  if (names.includes('..')) {
    const folder = names.indexOf(FOLDER);
    return folder !== -1 && names.slice(folder).some((name) => NAMES.has(name));
  }
  const [first, second] = names.filter((name) => name !== '' && name !== '.');
  return first === FOLDER && NAMES.has(second);
}

/** In lower case. `%252e` is `%2e` encoded over again, and so on; one pass reads them all. */
function decoded(path: string): string {
  return path
    .replace(/%(?:25)*([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
    .toLowerCase();
}
