// What a name looks like to a hasty reader. After Unicode Technical Standard 39, section 4: every
// character is replaced by what it may be taken for, and names whose results are equal look alike. The
// result is for comparison only. Everything is spelled out (`m` becomes `rn`, never the reverse), so
// that one pass is enough and the order does not matter.
import type { DeviceName } from '../../dns/name.ts';

/**
 * The table of the standard has, within the letters and digits of names: 0 and O, 1 and l and I, m and
 * rn. Names have no case and are written in either, so what only capitals share counts as well: i with
 * I and l, 5 with S. vv for w and cl for d are what was really used against readers, in the fonts of
 * address bars. Weaker likenesses (2 and z, 8 and b, g and q, u and v) are left out: each of them also
 * keeps honest names from people, and few readers fall for it.
 */
const LOOKS: ReadonlyMap<string, string> = new Map([
  ['0', 'o'],
  ['1', 'l'],
  ['5', 's'],
  ['d', 'cl'],
  ['i', 'l'],
  ['m', 'rn'],
  ['w', 'vv'],
]);

/** A hyphen is overlooked, but not between digits: there it tells one number from another. */
const OVERLOOKED = /(?<![0-9])-|-(?![0-9])/g;

/** Names (in lower case) with the same skeleton are easily taken for each other. */
export function skeletonOf(name: string): string {
  const seen = name.replaceAll(OVERLOOKED, '');
  return Array.from(seen, (character) => LOOKS.get(character) ?? character).join('');
}

/** Whether the name looks like the word, or has a part between hyphens that does (`nimbus-login`). */
export function looksLike(name: DeviceName, word: string): boolean {
  const look = skeletonOf(word.toLowerCase());
  return [name, ...name.split('-')].some((part) => skeletonOf(part) === look);
}
