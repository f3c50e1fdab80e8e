import { describe, expect, test } from 'vitest';
import {
  hashToken,
  hashTypedCode,
  makeCode,
  makeId,
  makeProof,
  makeTargetLabel,
  makeToken,
} from '../../../relay/registry/secret.ts';

describe('codes', () => {
  test('have the form that a person reads out', () => {
    expect(makeCode('order').text).toMatch(/^WG(-[0-9A-HJKMNP-TV-Z]{5}){4}$/);
    expect(makeCode('transfer').text).toMatch(/^WT(-[0-9A-HJKMNP-TV-Z]{5}){4}$/);
    expect(makeCode('claim').text).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
  });

  test.each(['order', 'transfer', 'claim'] as const)(
    'of %s are found as they were typed',
    (kind) => {
      for (let round = 0; round < 200; round += 1) {
        const { text, hash } = makeCode(kind);
        const spellings = [
          text,
          text.toLowerCase(),
          text.replaceAll('-', ''),
          text.replaceAll('-', ' '),
          ` ${text}\n`,
          text.replace(/^W[GT]-/, ''),
          text.replaceAll('0', 'O').replaceAll('1', 'l'),
          text.replaceAll('0', 'o').replaceAll('1', 'I'),
        ];
        for (const spelling of spellings) expect(hashTypedCode(kind, spelling)).toBe(hash);
      }
    },
  );

  test('are no codes of another kind', () => {
    const { text, hash } = makeCode('order');
    expect(hashTypedCode('transfer', text)).toBeUndefined();
    expect(hashTypedCode('transfer', text.slice(3))).not.toBe(hash);
    expect(hashTypedCode('claim', text)).toBeUndefined();
  });

  test.each([
    ['nothing', ''],
    ['too short', 'ABCD-EFG'],
    ['too long', 'ABCD-EFGH-J'],
    ['a letter that is none', 'ABCD-EFGU'],
    ['a sign', 'ABCD_EFGH'],
    ['a letter that becomes an S in capitals', 'ABCD-EFG\u017f'],
    ['a letter that becomes a K in lower case', 'ABCD-EFG\u212a'],
    ['a megabyte', 'A'.repeat(1_000_000)],
    ['hyphens without end', `ABCD${'-'.repeat(100)}EFGH`],
  ])('%s is refused', (_, typed) => {
    expect(hashTypedCode('claim', typed)).toBeUndefined();
  });
});

test('tokens, ids and labels are drawn anew each time, and long enough', () => {
  const drawn = Array.from({ length: 1_000 }, () => [
    makeToken().text,
    makeId(),
    makeTargetLabel(),
    makeProof(),
  ]);
  expect(new Set(drawn.flat()).size).toBe(4_000);
  expect(drawn[0]?.map((text) => text.length)).toEqual([43, 16, 20, 22]);
  for (const [, id, label] of drawn) expect(`${id}${label}`).toMatch(/^[0-9a-hjkmnp-tv-z]{36}$/);
});

test('what is stored of a token is not the token', () => {
  const { text, hash } = makeToken();
  expect(hashToken(text)).toBe(hash);
  expect(hash).not.toContain(text);
  expect(hashToken(`${text} `)).not.toBe(hash);
});
