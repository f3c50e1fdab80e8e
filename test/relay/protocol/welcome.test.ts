import { describe, expect, test } from 'vitest';
import { encodeWelcome, parseWelcome } from '../../../relay/protocol/welcome.ts';
import { hostname } from './hello-fixture.ts';

describe('a welcome', () => {
  const zone = hostname('vendor.dev');

  test('reads back, and ignores what a later version adds', () => {
    const bytes = Buffer.from('{"epoch":7,"names":["Alice","demo"],"zone":"vendor.dev","more":1}');
    const welcome = parseWelcome(bytes);
    expect(welcome).toEqual({
      epoch: 7,
      names: ['alice', 'demo'],
      zone,
      recoveries: [],
      renewals: [],
    });
    if (welcome !== undefined) expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome);
  });

  test.each([
    ['["Alice"]', ['alice']],
    // It is a hint: what cannot be read of it costs nobody his names.
    ['"alice"', []],
    ['["-"]', []],
    [JSON.stringify(Array(5_000).fill('alice')), Array(100).fill('alice')],
  ])('tells the certificates to ask about: %.20s', (renewals, told) => {
    const text = `{"epoch":7,"names":["alice"],"zone":"vendor.dev","renewals":${renewals}}`;
    const welcome = parseWelcome(Buffer.from(text));
    expect(welcome).toMatchObject({ names: ['alice'], renewals: told });
    if (welcome !== undefined) expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome);
  });

  test('tells the recoveries that wait', () => {
    const waiting = '{"id":"r1","name":"Alice","dueAt":"2026-11-21T02:40:31.123Z","more":1}';
    const bytes = Buffer.from(
      `{"epoch":7,"names":[],"zone":"vendor.dev","recoveries":[${waiting}]}`,
    );
    const welcome = parseWelcome(bytes);
    const recoveries = [{ id: 'r1', name: 'alice', dueAt: '2026-11-21T02:40:31.123Z' }];
    expect(welcome?.recoveries).toEqual(recoveries);
    if (welcome !== undefined) expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome);
  });

  test('tells of a recovery whether it waits for the mail server, in one word', () => {
    const recovery = (more: string) =>
      `{"id":"r","name":"alice","dueAt":"2026-11-21T02:40:31Z"${more}}`;
    const told = [',"waitsForMail":true', ',"waitsForMail":"soon"', ''].map(recovery).join();
    const text = `{"epoch":7,"names":[],"zone":"vendor.dev","recoveries":[${told}]}`;
    const welcome = parseWelcome(Buffer.from(text));
    expect(welcome?.recoveries.map(({ waitsForMail }) => waitsForMail)).toEqual([
      ...[true, undefined, undefined],
    ]);
    if (welcome !== undefined) expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome);
  });

  test('never has more recoveries than a person reads', () => {
    const welcome = parseWelcome(Buffer.from('{"epoch":7,"names":["alice"],"zone":"vendor.dev"}'));
    if (welcome === undefined) throw new Error('unreachable');
    const [name] = welcome.names;
    if (name === undefined) throw new Error('unreachable');
    const recovery = { id: 'r', name, dueAt: '2026-11-21T02:40:31.123Z' };
    const many = encodeWelcome({ ...welcome, recoveries: Array(5_000).fill(recovery) });
    expect(parseWelcome(many)?.recoveries).toHaveLength(100);
  });

  test.each([
    '{}',
    '7',
    '{"id":"","name":"alice","dueAt":"2026-11-21T02:40:31Z"}',
    '{"id":"a b","name":"alice","dueAt":"2026-11-21T02:40:31Z"}',
    '{"id":"\\u001b[2J","name":"alice","dueAt":"2026-11-21T02:40:31Z"}',
    '{"id":"r","name":"-","dueAt":"2026-11-21T02:40:31Z"}',
    '{"id":"r","name":"alice","dueAt":"tomorrow"}',
    '{"id":"r","name":"alice","dueAt":1}',
  ])('with the recovery %j is none', (recovery) => {
    const text = `{"epoch":7,"names":[],"zone":"vendor.dev","recoveries":[${recovery}]}`;
    expect(parseWelcome(Buffer.from(text))).toBeUndefined();
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
    '{"epoch":1,"names":[],"zone":"a.b","recoveries":{}}',
  ])('%j is none', (text) => {
    expect(parseWelcome(Buffer.from(text))).toBeUndefined();
  });
});
