// CAA records as RFC 8659 reads them, and what a person is told when they are in the way.
import { describe, expect, test } from 'vitest';
import { judgeCaa } from '../../../relay/domains/caa.ts';
import type { CaaRecord } from '../../../relay/domains/public-dns.ts';

const DOMAIN = 'app.example.org';

/** `0 issue "ca.example"` */
function record(text: string): CaaRecord {
  const [, flags, tag = '', value = ''] = /^(\d+) (\w+) "(.*)"$/.exec(text) ?? [];
  return { critical: flags === '128', tag, value };
}

function judge(
  texts: readonly string[],
  { wildcard = false, identities = ['ca.example'] as readonly string[] } = {},
) {
  const lookup = { kind: 'found', at: 'example.org', records: texts.map(record) } as const;
  return judgeCaa(lookup, { domain: DOMAIN, wildcard, identities });
}

describe('CAA records', () => {
  test.each([
    [['0 issue "ca.example"']],
    [['0 issue "CA.Example ; accounturi=https://ca.example/1"']],
    [['0 issue "other.example"', '0 issue "ca.example"']],
    [['0 iodef "mailto:a@example.org"']],
    [['0 issuewild ";"']],
    [['0 unheard "x"']],
    [['128 issue "ca.example"', '128 issuemail ";"']],
    [['0 issue "ca.example; validationmethods=dns-01, http-01"']],
  ])('%j let us have a certificate', (texts) => {
    expect(judge(texts)).toMatchObject({ verdict: 'right', step: { state: 'ok' } });
  });

  test.each([
    [['0 issue ";"'], 'it does not name ca.example'],
    [['0 issue "other.example"'], 'it does not name ca.example'],
    [['0 issue "notca.example"'], 'it does not name ca.example'],
    [['0 issue ""'], 'it does not name ca.example'],
    [['0 issue "ca.example"', '128 tbs "x"'], 'its property tbs is critical'],
    [['0 issue "ca.example; validationmethods=dns-01"'], 'method http-01 or tls-alpn-01'],
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
    const judged = judgeCaa(lookup, {
      domain: DOMAIN,
      wildcard: false,
      identities: ['ca.example'],
    });
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
    const { step } = judgeCaa(lookup, { domain: DOMAIN, wildcard: false, identities: ['x'] });
    expect(step.found).toContain('\\u{1b}[31m\\u{202e}');
  });
});
