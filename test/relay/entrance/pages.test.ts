import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptedForm } from '../../../relay/entrance/accept.ts';
import { locationFields } from '../../../relay/entrance/location.ts';
import { type Problem, problemPage } from '../../../relay/entrance/pages.ts';
import { hostname as parsed } from '../protocol/hello-fixture.ts';

const CHROME =
  'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';
const SINCE_MS = Date.UTC(2026, 10, 21, 2, 40, 31);
const STATUSES: Readonly<Record<Problem['kind'], number>> = {
  'no-such-name': 404,
  'no-such-workspace': 404,
  moved: 308,
  'device-away': 503,
  'workspace-unreachable': 502,
  'workspace-timeout': 504,
  'workspace-broke': 502,
  'bad-response': 502,
  'bad-request': 431,
  misdirected: 421,
  'challenge-path': 404,
  'too-many-requests': 429,
  'too-many-streams': 503,
  'relay-draining': 503,
  internal: 500,
};

function problemOf(kind: Problem['kind']): Problem {
  if (kind === 'moved') return { kind, hostname: parsed('code.bob.vendor.dev') };
  return kind === 'bad-request' ? { kind, status: 431, detail: 'too many fields' } : { kind };
}

function page(problem: Problem, accept?: string, hostname = 'code.alice.vendor.dev') {
  const nowMs = SINCE_MS + 3 * 60_000 + 5_000;
  const { status, fields, body } = problemPage(problem, { hostname, accept, nowMs });
  const named = new Map<string, string>();
  for (let at = 0; at < fields.length; at += 2) {
    expect(named.has(fields[at] ?? '')).toBe(false);
    named.set(fields[at] ?? '', fields[at + 1] ?? '');
  }
  return { status, fields: named, body, text: body.toString() };
}

describe('every problem', () => {
  for (const [name, status] of Object.entries(STATUSES)) {
    it(`${name} says what happened in every form`, () => {
      const problem = problemOf(name as Problem['kind']);
      for (const accept of [undefined, CHROME, 'application/json']) {
        const { fields, text, body, ...rest } = page(problem, accept);
        expect(rest.status).toBe(status);
        expect(fields.get('content-length')).toBe(String(body.length));
        const kept = name === 'moved' ? 'max-age=60' : 'no-store';
        expect(fields.get('cache-control')).toBe(kept);
        expect(fields.get('x-content-type-options')).toBe('nosniff');
        expect(fields.get('referrer-policy')).toBe('no-referrer');
        expect(fields.get('content-security-policy')).toBe(
          "default-src 'none'; style-src 'unsafe-inline'",
        );
        expect(text).toMatch(/[a-z]\. ?/);
        expect(text).not.toMatch(/HOST|undefined|NaN/);
        for (const value of fields.values()) expect(value).toMatch(/^[ -~]+$/);
      }
      const html = page(problem, CHROME).text;
      expect(html).toMatch(/^<!doctype html>\n<html lang="en">/);
      expect(html).toContain('name="viewport"');
      expect(html).not.toMatch(/src=|href=|<script|@import|url\(/);
    });
  }
});

describe('a device that is away', () => {
  it('is told with the time and its age', () => {
    const { text, fields } = page({ kind: 'device-away', sinceMs: SINCE_MS });
    expect(text).toContain('has been away since 2026-11-21 02:40 UTC (3 minutes).');
    expect(fields.get('retry-after')).toBe('15');
  });

  it('has its name where it is known', () => {
    const context = { hostname: 'code.alice.vendor.dev', accept: undefined, device: 'alice' };
    const { body } = problemPage({ kind: 'device-away' }, context);
    expect(body.toString()).toContain('The device alice is not connected.');
  });

  it.each([
    [59_000, 'less than a minute'],
    [60_000, '1 minute'],
    [59 * 60_000, '59 minutes'],
    [60 * 60_000, '1 hour'],
    [47 * 3_600_000, '47 hours'],
    [72 * 3_600_000, '3 days'],
    [-5_000, 'less than a minute'],
  ])('for %d ms is away for %s', (awayMs, words) => {
    const nowMs = SINCE_MS + awayMs;
    const context = { hostname: 'a.vendor.dev', accept: undefined, nowMs };
    const { body } = problemPage({ kind: 'device-away', sinceMs: SINCE_MS }, context);
    expect(body.toString()).toContain(`(${words})`);
  });

  it('with an impossible time is only away', () => {
    for (const sinceMs of [Number.NaN, Number.POSITIVE_INFINITY, 9e15]) {
      expect(page({ kind: 'device-away', sinceMs }).text).toContain('is not connected');
    }
  });

  it('is told to programs in RFC 9457 form', () => {
    const { text, fields } = page(
      { kind: 'device-away', sinceMs: SINCE_MS },
      'application/problem+json',
    );
    expect(fields.get('content-type')).toBe('application/problem+json');
    expect(JSON.parse(text)).toMatchObject({
      type: 'urn:waygate:problem:device-away',
      status: 503,
      title: 'The device is away',
      since: '2026-11-21T02:40:31.000Z',
    });
  });
});

describe('what a visitor sent', () => {
  const hostile = '"><script>alert(1)</script>&\'\u202e\x1b[31m\r\nSet-Cookie: a=b';

  it('P-12 is never markup on a page', () => {
    for (const kind of Object.keys(STATUSES) as Problem['kind'][]) {
      const { text } = page(problemOf(kind), CHROME, hostile);
      expect(text).not.toContain('<script');
      for (const obeyed of ['\u202e', '\x1b', '\r']) expect(text).not.toContain(obeyed);
    }
    const detailed: Problem = { kind: 'bad-request', status: 400, detail: hostile };
    const { text } = page(detailed, CHROME);
    expect(text).toContain('&lt;script&gt;');
    for (const obeyed of ['<script', '\u202e', '\x1b']) expect(text).not.toContain(obeyed);
  });

  it('stays data in JSON, and is never a field', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (detail) => {
        const { text, fields } = page(
          { kind: 'bad-request', status: 400, detail },
          'application/json',
          detail,
        );
        expect(JSON.parse(text).status).toBe(400);
        for (const value of fields.values()) expect(value).toMatch(/^[ -~]+$/);
      }),
    );
  });
});

describe('the form of a page', () => {
  it.each([
    [undefined, 'text'],
    ['', 'text'],
    ['*/*', 'text'],
    [CHROME, 'html'],
    ['text/html', 'html'],
    ['TEXT/HTML ; q=0.5', 'html'],
    ['text/*', 'text'],
    ['text/*, text/html;q=0', 'text'],
    ['application/json', 'json'],
    ['application/problem+json, application/json', 'json'],
    ['application/json, text/plain, */*', 'json'],
    ['text/html;q=0.4, application/json;q=0.5', 'json'],
    ['text/html;q=0.5, application/json;q=0.4', 'html'],
    ['application/*', 'json'],
    ['text/html;q=0, */*', 'text'],
    ['text/plain;q=0, */*', 'json'],
    ['text/event-stream', 'text'],
    ['image/avif,image/webp,*/*;q=0.8', 'text'],
    ['text/html;q=abc', 'text'],
    ['text/html;level=1;q=0.7', 'html'],
    [`${'a/b,'.repeat(5_000)}text/html`, 'text'],
  ])('for Accept %j is %s', (accept, form) => {
    expect(acceptedForm(accept)).toBe(form);
  });

  it('is one of three for any Accept', () => {
    fc.assert(
      fc.property(fc.string(), (accept) => {
        expect(['html', 'json', 'text']).toContain(acceptedForm(accept));
      }),
    );
  });
});

describe('a name that was changed', () => {
  const problem = problemOf('moved');

  it('sends a visitor to the same place: host, port, path and query', () => {
    const location = (host: string, target: string) => locationFields(problem, { host, target });
    const at = 'code.alice.vendor.dev';
    expect(location(at, '/')).toEqual(['Location', 'https://code.bob.vendor.dev/']);
    expect(location(`${at}:8443`, '/a?b=c&d=%2F')).toEqual([
      'Location',
      'https://code.bob.vendor.dev:8443/a?b=c&d=%2F',
    ]);
    // Two slashes are a path here, and no other host.
    expect(location(at, '//evil.example/x')).toEqual([
      'Location',
      'https://code.bob.vendor.dev//evil.example/x',
    ]);
    expect(locationFields(problem, undefined)).toEqual([]);
    expect(locationFields({ kind: 'internal' }, { host: at, target: '/' })).toEqual([]);
  });

  it('names both addresses', () => {
    expect(page(problem).text).toContain(
      'What was at code.alice.vendor.dev is at code.bob.vendor.dev now.',
    );
  });
});
