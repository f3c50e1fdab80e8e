import { describe, expect, test } from 'vitest';
import { encodeWelcome, parseWelcome } from '../../../relay/protocol/welcome.ts';
import { hostname } from './hello-fixture.ts';

describe('a welcome', () => {
  const zone = hostname('vendor.dev');

  test('reads back, and ignores what a later version adds', () => {
    const bytes = Buffer.from('{"epoch":7,"names":["Alice","demo"],"zone":"vendor.dev","more":1}');
    const welcome = parseWelcome(bytes);
    expect(welcome).toEqual({ epoch: 7, names: ['alice', 'demo'], zone });
    if (welcome !== undefined) expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome);
  });

  test.each([
    '',
    '{',
    '[]',
    'null',
    '{}',
    '{"epoch":-1,"names":[],"zone":"a.b"}',
    '{"epoch":1.5,"names":[],"zone":"a.b"}',
    '{"epoch":1,"names":"x","zone":"a.b"}',
    '{"epoch":1,"names":["-a"],"zone":"a.b"}',
    '{"epoch":1,"names":[1],"zone":"a.b"}',
    '{"epoch":1,"names":[],"zone":"a..b"}',
    '{"epoch":1,"names":[],"zone":7}',
  ])('%j is none', (text) => {
    expect(parseWelcome(Buffer.from(text))).toBeUndefined();
  });
});
