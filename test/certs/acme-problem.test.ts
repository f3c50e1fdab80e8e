import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  readAuthorization,
  readDirectory,
  readOrder,
  readWindow,
} from '../../certs/acme-answer.ts';
import { printable, readProblem, readRetryAfter, refusalOf } from '../../certs/acme-problem.ts';

const ERROR = 'urn:ietf:params:acme:error:';
const NOW_MS = Date.UTC(2026, 10, 21, 12);

function refusal(status: number, document: unknown, headers: Record<string, string> = {}) {
  const body = typeof document === 'string' ? document : JSON.stringify(document);
  return refusalOf({ status, headers, body }, 'acme', 'a new order for alice.vendor.dev');
}

describe('a refusal of an authority', () => {
  test('tells what was refused, why, and what to do', () => {
    const error = refusal(403, {
      type: `${ERROR}caa`,
      detail: 'CAA record for vendor.dev prevents issuance',
      subproblems: [
        { type: `${ERROR}caa`, identifier: { type: 'dns', value: 'alice.vendor.dev' } },
      ],
    });
    expect(error).toMatchObject({
      code: 'ERR_ORDER_REFUSED',
      problem: `${ERROR}caa`,
      hostname: 'alice.vendor.dev',
      alreadyReplaced: false,
      message:
        'acme refused a new order for alice.vendor.dev: CAA record for vendor.dev prevents issuance. ' +
        'Let the CAA records of the name, or of the names above it, allow this authority; or remove them.',
    });
  });

  test('of several names is that of the first', () => {
    const subproblems = [
      { type: `${ERROR}caa`, detail: 'no', identifier: { type: 'dns', value: 'b.example' } },
      { type: `${ERROR}dns`, detail: 'no', identifier: { type: 'dns', value: 'c.example' } },
    ];
    const error = refusal(403, { type: `${ERROR}compound`, detail: 'several', subproblems });
    expect(error).toMatchObject({ problem: `${ERROR}caa`, hostname: 'b.example' });
  });

  test.each([
    [429, { type: `${ERROR}rateLimited` }, 'ERR_ORDER_RATE_LIMITED'],
    [403, { type: `${ERROR}rateLimited` }, 'ERR_ORDER_RATE_LIMITED'],
    [429, 'slow down', 'ERR_ORDER_RATE_LIMITED'],
    [503, { type: `${ERROR}serverInternal` }, 'ERR_ORDER_UNAVAILABLE'],
    [400, { type: `${ERROR}badNonce` }, 'ERR_ORDER_UNAVAILABLE'],
    [502, '<html>', 'ERR_ORDER_UNAVAILABLE'],
    [403, '<html>a proxy</html>', 'ERR_ORDER_UNAVAILABLE'],
    [301, '', 'ERR_ORDER_UNAVAILABLE'],
    [400, { type: `${ERROR}rejectedIdentifier` }, 'ERR_ORDER_REFUSED'],
    [409, { type: `${ERROR}alreadyReplaced` }, 'ERR_ORDER_REFUSED'],
  ])('with status %i and %j is %s', (status, document, code) => {
    expect(refusal(status, document).code).toBe(code);
  });

  test('attack: escapes of a terminal, lines of a log and a megabyte of text are not passed on', () => {
    const detail = `\u001b[31mred\u001b[0m\nlevel=fatal \u202eevil ${'x'.repeat(1_000_000)}`;
    const { message } = refusal(403, { type: `${ERROR}unauthorized`, detail });
    expect(message).toMatch(/^[\x20-\x7e]+$/);
    expect(message.length).toBeLessThan(1_000);
    expect(printable(detail)).toMatch(/^\?\[31mred\?\[0m level=fatal \?evil x+ \.\.\.$/);
  });
});

describe('the time after which to ask again', () => {
  test.each([
    ['120', 120_000],
    ['0', 0],
    [new Date(NOW_MS + 90_000).toUTCString(), 90_000],
    [new Date(NOW_MS - 90_000).toUTCString(), 0],
    ['99999999999', 7 * 86_400_000],
    ['soon', undefined],
    ['-5', 0],
  ])('%s', (header, ms) => {
    expect(readRetryAfter(header, NOW_MS)).toBe(ms);
  });

  test('is not there when nothing was said', () => {
    expect(readRetryAfter(undefined)).toBeUndefined();
    expect(refusal(429, { type: `${ERROR}rateLimited` }).retryAfterMs).toBeUndefined();
    expect(refusal(429, '', { 'retry-after': '60' }).retryAfterMs).toBe(60_000);
  });
});

describe('answers of an authority', () => {
  const url = 'https://acme.example/order/1';
  const order = {
    status: 'pending',
    identifiers: [
      { type: 'dns', value: 'B.example' },
      { type: 'dns', value: '*.a.example' },
    ],
    authorizations: ['https://acme.example/authz/1'],
    finalize: 'https://acme.example/finalize/1',
  };

  test('an order is understood when everything in it is', () => {
    expect(readOrder(order, url)).toMatchObject({ url, names: ['*.a.example', 'b.example'] });
    for (const odd of [
      { ...order, status: 'sleeping' },
      { ...order, identifiers: [{ type: 'ip', value: '192.0.2.1' }] },
      { ...order, authorizations: ['http://acme.example/authz/1'] },
      { ...order, authorizations: Array(101).fill('https://acme.example/') },
      { ...order, finalize: 'file:///etc/passwd' },
      { ...order, certificate: 7 },
    ]) {
      expect(readOrder(odd, url)).toBeUndefined();
    }
    expect(readOrder(order, 'http://acme.example/order/1')).toBeUndefined();
  });

  test('attack: a token that is a path, or too short to be unguessable, is none', () => {
    const challenge = { type: 'http-01', url, status: 'pending' };
    const found = readAuthorization(
      {
        identifier: { type: 'dns', value: 'a.example' },
        status: 'pending',
        challenges: [
          { ...challenge, token: '../../admin' },
          { ...challenge, token: 'short' },
          { ...challenge, token: 'x'.repeat(129) },
          { ...challenge, token: 'x'.repeat(43) },
        ],
      },
      url,
    );
    expect(found?.challenges.map(({ token }) => token)).toEqual(['x'.repeat(43)]);
  });

  test('a window is read in any zone of time, and not in another century', () => {
    const suggestedWindow = { start: '2026-12-01T00:00:00Z', end: '2026-12-02T02:00:00+02:00' };
    const startMs = Date.UTC(2026, 11, 1);
    expect(readWindow({ suggestedWindow })).toEqual({ startMs, endMs: startMs + 86_400_000 });
    expect(
      readWindow({ suggestedWindow: { ...suggestedWindow, end: '9999-01-01T00:00:00Z' } }),
    ).toBe(undefined);
    expect(readWindow({ suggestedWindow: { ...suggestedWindow, start: 5 } })).toBeUndefined();
    expect(
      readWindow({ suggestedWindow, explanationURL: 'javascript:alert(1)' }),
    ).not.toHaveProperty('explanationUrl');
  });

  test('attack: any JSON at all: nothing throws', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (value, other) => {
        const document = { ...order, error: value, challenges: other, meta: value, type: other };
        for (const each of [value, document, { ...document, identifiers: value, status: other }]) {
          readOrder(each, url);
          readAuthorization(each, url);
          readDirectory(each);
          readWindow(each);
          readProblem(each);
        }
      }),
    );
  });
});
