// CAA records as RFC 8659 reads them, and what a person is told when they are in the way.
import { describe, expect, test } from 'vitest';
import { type CaaQuestion, judgeCaa } from '../../../relay/domains/caa.ts';
import type { CaaRecord } from '../../../relay/domains/public-dns.ts';

const DOMAIN = 'app.example.org';
const ACCOUNT = 'https://ca.example/acct/1';
const BOTH = ['tls-alpn-01', 'http-01'];

/** `0 issue "ca.example"` */
function record(text: string): CaaRecord {
  const [, flags, tag = '', value = ''] = /^(\d+) (\w+) "(.*)"$/.exec(text) ?? [];
  return { critical: flags === '128', tag, value };
}

type Asked = CaaQuestion & { readonly identities: readonly string[] };

function judge(
  texts: readonly string[],
  { wildcard = false, identities = ['ca.example'], ...rest }: Partial<Asked> = {},
) {
  const lookup = { kind: 'found', at: 'example.org', records: texts.map(record) } as const;
  const methods = wildcard ? ['dns-01'] : BOTH;
  const issuers = [{ identities, account: ACCOUNT }];
  return judgeCaa(lookup, { domain: DOMAIN, wildcard, issuers, methods, ...rest });
}

describe('CAA records', () => {
  test.each([
    [['0 issue "ca.example"']],
    [['0 issue "CA.Example ; AccountURI = https://ca.example/acct/1"']],
    [
      [
        '0 issue "ca.example; accounturi=x"',
        '0 issue "ca.example;accounturi=https://ca.example/acct/1"',
      ],
    ],
    [['0 issue "ca.example;"']],
    [['0 issue "ca.example; cansignhttpexchanges=yes"']],
    [['0 issue "other.example"', '0 issue "ca.example"']],
    [['0 iodef "mailto:a@example.org"']],
    [['0 issuewild ";"']],
    [['0 unheard "x"']],
    [['128 issue "ca.example"', '128 issuemail ";"']],
    [['0 issue "ca.example; validationmethods=dns-01,http-01"']],
  ])('%j let us have a certificate', (texts) => {
    expect(judge(texts)).toMatchObject({ verdict: 'right', step: { state: 'ok' } });
  });

  test.each([
    [['0 issue ";"'], 'it does not name ca.example'],
    [['0 issue "other.example"'], 'it does not name ca.example'],
    [['0 issue "notca.example"'], 'it does not name ca.example'],
    [['0 issue ""'], 'it does not name ca.example'],
    [['0 issue "ca.example"', '128 tbs "x"'], 'its property tbs is critical'],
    [['0 issue "ca.example; validationmethods=dns-01"'], 'method tls-alpn-01 or http-01'],
    [['0 issue "ca.example; validationmethods="'], 'method tls-alpn-01 or http-01'],
    [['0 issue "ca.example; validationmethods=HTTP-01"'], 'method tls-alpn-01 or http-01'],
    [['0 issue "ca.example; validationmethods=dns-01, http-01"'], 'cannot be read'],
    [['0 issue "ca.example; accounturi"'], 'cannot be read'],
    [['0 issue "ca_example"'], 'cannot be read'],
    [
      ['0 issue "ca.example; accounturi=https://ca.example/acct/11"'],
      'another account at ca.example',
    ],
    [
      ['0 issue "ca.example; accounturi=HTTPS://ca.example/acct/1"'],
      'another account at ca.example',
    ],
    [
      [`0 issue "ca.example; accounturi=${ACCOUNT}; accounturi=${ACCOUNT}"`],
      'names more than one account',
    ],
    [
      ['0 issue "ca.example; validationmethods=http-01; validationmethods=http-01"'],
      'method tls-alpn-01 or http-01',
    ],
  ])('A-28 %j forbid it', (texts, why) => {
    const { verdict, step } = judge(texts);
    expect([verdict, step.state]).toEqual(['wrong', 'wrong']);
    expect(step.found).toContain(`${texts[0]}`);
    expect(step.found).toContain('at example.org forbids it');
    expect(step.found).toContain(why);
    expect(step.next).toMatch(/at example\.org.*\. Then it goes on by itself\.$/);
  });

  test.each([
    [['0 issue "ca.example"'], 'right'],
    [['0 issue "ca.example"', '0 issuewild ";"'], 'wrong'],
    [['0 issue ";"', '0 issuewild "ca.example"'], 'wrong'],
    [['0 issuewild "ca.example"'], 'right'],
    [['0 issue "ca.example; validationmethods=http-01"'], 'wrong'],
    [['0 issue "ca.example; validationmethods=dns-01"'], 'right'],
  ])('%j for a wildcard: %s', (texts, verdict) => {
    expect(judge(texts, { wildcard: true }).verdict).toBe(verdict);
  });

  test('name whom to add, by the identity of our authority', () => {
    const { step } = judge(['0 issue "ca.example"', '0 issuewild ";"'], { wildcard: true });
    expect(step.next).toBe(
      'Add the CAA record 0 issuewild "ca.example" at example.org. Then it goes on by itself.',
    );
  });

  test('A-28 of another account, or other challenges, name what to add, as narrow as they are', () => {
    const next = (text: string, rest = {}) => judge([text], rest).step.next;
    const then = 'at example.org. Then it goes on by itself.';
    expect(next('0 issue "ca.example; accounturi=https://ca.example/acct/2"')).toBe(
      `Add the CAA record 0 issue "ca.example; accounturi=${ACCOUNT}" ${then}`,
    );
    expect(next('0 issue "ca.example; validationmethods=dns-01"')).toBe(
      `Add the CAA record 0 issue "ca.example; validationmethods=tls-alpn-01,http-01" ${then}`,
    );
    const both = '0 issue "ca.example; accounturi=x; validationmethods=http-01"';
    expect(next(both, { wildcard: true })).toBe(
      `Add the CAA record 0 issue "ca.example; accounturi=${ACCOUNT}; validationmethods=dns-01" ${then}`,
    );
    expect(next('0 issue "other.example; accounturi=x"')).toBe(
      `Add the CAA record 0 issue "ca.example" ${then}`,
    );
  });

  test('allow by plain HTTP alone what a relay without it does not prove', () => {
    const texts = ['0 issue "ca.example; validationmethods=http-01"'];
    expect(judge(texts).verdict).toBe('right');
    expect(judge(texts, { methods: ['tls-alpn-01'] }).verdict).toBe('wrong');
  });

  test('of one account at the second of two authorities are for that', () => {
    const issuers = [
      { identities: ['ca.example'], account: ACCOUNT },
      { identities: ['second.example', 'second.test'], account: 'https://second.example/2' },
    ];
    const verdict = (text: string) => judge([text], { issuers }).verdict;
    expect(verdict('0 issue "second.test; accounturi=https://second.example/2"')).toBe('right');
    expect(verdict(`0 issue "second.test; accounturi=${ACCOUNT}"`)).toBe('wrong');
    expect(verdict('0 issue "third.example"')).toBe('wrong');
    const untold = { issuers: [...issuers, { identities: [], account: undefined }] };
    expect(judge(['0 issue "third.example"'], untold).verdict).toBe('right');
    const mistaken = '0 issue "ca.example; accounturi=x"';
    expect(judge([mistaken], untold).verdict).toBe('wrong');
    // How it goes is not known, and yet that the account is none of ours.
    const away = { issuers: [{ identities: [], account: ACCOUNT }] };
    const verdicts = [ACCOUNT, 'x'].map(
      (uri) => judge([`0 issue "third.example; accounturi=${uri}"`], away).verdict,
    );
    expect(verdicts).toEqual(['right', 'wrong']);
  });

  test('of an authority whose identity nobody has told are believed, but for those that forbid all', () => {
    const unknown = { identities: [] };
    expect(judge(['0 issue "other.example"'], unknown).verdict).toBe('right');
    const { verdict, step } = judge(['0 issue ";"'], unknown);
    expect(verdict).toBe('wrong');
    expect(step.next).toBe(
      'Remove it, or ask the operator of the service which authority to name, and add that one at ' +
        'example.org. Then it goes on by itself.',
    );
  });

  test('that cannot be looked up are neither', () => {
    const lookup = { kind: 'failed', at: 'org', why: 'SERVFAIL' } as const;
    const issuers = [{ identities: ['ca.example'], account: ACCOUNT }];
    const question = { domain: DOMAIN, wildcard: false, issuers, methods: BOTH };
    const judged = judgeCaa(lookup, question);
    expect(judged).toMatchObject({ verdict: 'unknown', step: { state: 'waiting' } });
  });

  test('A-29 are shown bounded, and as text that nothing obeys', () => {
    const texts = Array.from({ length: 50 }, () => `0 issue "${'x'.repeat(5_000)}"`);
    expect(judge(texts).step.found.length).toBeLessThan(1_200);
    const lookup = {
      kind: 'found',
      at: 'example.org',
      records: [{ critical: false, tag: 'issue', value: '\u001b[31m\u202e;' }],
    } as const;
    const issuers = [{ identities: ['x'], account: undefined }];
    const question = { domain: DOMAIN, wildcard: false, issuers, methods: BOTH };
    const { step } = judgeCaa(lookup, question);
    expect(step.found).toContain('\\u{1b}[31m\\u{202e}');
  });
});
