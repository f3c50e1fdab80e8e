// The house rules, over the whole repository. tidy.faults.test.ts proves that each of them fires.
import { describe, expect, it } from 'vitest';
import { LAYOUT_RULES } from './tidy/layout.ts';
import { NEEDS_RULES } from './tidy/needs.ts';
import { PROSE_RULES } from './tidy/prose.ts';
import { SOURCE_RULES } from './tidy/source.ts';
import { readTree } from './tidy/tree.ts';

const tree = readTree(process.cwd());

describe('tidy', () => {
  for (const rule of [...LAYOUT_RULES, ...SOURCE_RULES, ...PROSE_RULES, ...NEEDS_RULES]) {
    it(rule.name, () => {
      expect(rule.check(tree).toSorted(), rule.why).toEqual([]);
    });
  }
});
