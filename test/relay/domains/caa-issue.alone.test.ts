// The values of CAA records are written by strangers: however long one is, to read it takes no time.
import { expect, test } from 'vitest';
import { parseCaaIssue } from '../../../relay/domains/caa-issue.ts';

/** A record fills a message of 64 KB. */
const CHARS = 65_000;
/** By an expression for blanks at the end it took nine seconds, in which the relay served nobody. */
const QUICK_MS = 250;

test.each([
  ['blanks in the middle', `a${' '.repeat(CHARS)}b`],
  ['blanks before a sign of equality', `a; b${'\t'.repeat(CHARS)}c`],
  ['hyphens', `a; b${'-'.repeat(CHARS)}`],
  ['a long name', `${'a-'.repeat(CHARS / 2)}!`],
  ['parameters', 'a;'.repeat(CHARS / 2)],
])('a CAA record full of %s is refused at once', (_, value) => {
  const startedMs = performance.now();
  expect(parseCaaIssue(value)).toBeUndefined();
  expect(performance.now() - startedMs).toBeLessThan(QUICK_MS);
});
