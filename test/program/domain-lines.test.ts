// What a person reads of an own domain at a terminal: the table that can be copied from, the steps, and
// lines that are drawn anew in their place.
import { describe, expect, it } from 'vitest';
import type { OwnDomain, OwnDomainStep } from '../../device-client/own-domains.ts';
import {
  domainLine,
  entryLines,
  recentLine,
  stepLine,
  stepLines,
  targetWords,
} from '../../domain-lines.ts';
import { LiveLines } from '../../live-lines.ts';

const PROOF: OwnDomainStep = { step: 'proof', state: 'ok', found: 'the proof', expected: 'it' };
const ROUTING: OwnDomainStep = {
  step: 'routing',
  state: 'wrong',
  found: 'A 198.51.100.7',
  expected: 'a CNAME to x7.to.vendor.dev',
  next: 'Replace the A record by the CNAME.',
};
const CAA: OwnDomainStep = { step: 'caa', state: 'waiting', found: 'nothing', expected: 'leave' };

const OWN: OwnDomain = {
  domain: 'app.example.org',
  url: 'https://app.example.org/',
  name: 'alice',
  workspace: 'code',
  wildcard: false,
  state: 'pending',
  live: false,
  entries: [
    entry('TXT', '_waygate.app.example.org', 'abc', 'yes'),
    entry('CNAME', 'app.example.org', 'x7.to.vendor.dev', 'one-of'),
    entry('A', 'app.example.org', '192.0.2.1', 'one-of'),
    entry('AAAA', 'app.example.org', '2001:db8::1', 'one-of'),
  ],
  steps: [PROOF, ROUTING, CAA],
};

function entry(
  type: string,
  owner: string,
  value: string,
  needed: 'yes' | 'one-of' | 'wildcard',
): OwnDomain['entries'][number] {
  return { type, owner, value, why: `for ${type}`, needed };
}

it('what somebody else has found a moment ago is told as that', () => {
  expect(recentLine(OWN)).toBeUndefined();
  const recent = { ...OWN, secondsAgo: 3, againInSeconds: 2 };
  expect(recentLine(recent)).toBe('The relay found this 3 s ago, and looks again in 2 s.');
});

describe('the table of entries', () => {
  it('is aligned, and says the alternatives', () => {
    expect(entryLines(OWN).slice(0, 9)).toEqual([
      'Enter this where the DNS of app.example.org is kept:',
      '',
      '  TYPE   NAME                      VALUE             WHY',
      '  TXT    _waygate.app.example.org  abc               for TXT',
      'and either',
      '  CNAME  app.example.org           x7.to.vendor.dev  for CNAME',
      'or these, where the provider allows no CNAME',
      '  A      app.example.org           192.0.2.1         for A',
      '  AAAA   app.example.org           2001:db8::1       for AAAA',
    ]);
  });

  it('offers no choice where there is none, and says what a wildcard needs besides', () => {
    const entries = [
      entry('CNAME', 'app.example.org', 'x7.to.vendor.dev', 'one-of'),
      entry('CNAME', '*.app.example.org', 'x7.to.vendor.dev', 'wildcard'),
    ];
    const lines = entryLines({ ...OWN, entries, wildcard: true });
    expect(lines.slice(3, 6)).toEqual([
      '  CNAME  app.example.org    x7.to.vendor.dev  for CNAME',
      'and for all names below it',
      '  CNAME  *.app.example.org  x7.to.vendor.dev  for CNAME',
    ]);
  });
});

describe('the steps', () => {
  it('say what was found, and of what is not done what was expected and what to do', () => {
    expect(stepLines([PROOF, ROUTING], 60)).toEqual([
      '  ok       proof        found     the proof',
      '  wrong    routing      found     A 198.51.100.7',
      '                        expected  a CNAME to',
      '                                  x7.to.vendor.dev',
      '                        next      Replace the A record by',
      '                                  the CNAME.',
    ]);
    expect(stepLine(PROOF)).toBe('  ok       proof        the proof');
    expect(stepLine(CAA)).toBe('  waiting  CAA          nothing. Expected: leave.');
    expect(stepLine(ROUTING)).toMatch(
      / x7\.to\.vendor\.dev\. Replace the A record by the CNAME\.$/,
    );
  });

  it.each([50, 60, 80, 200])('are never wider than %d columns, whatever was found', (columns) => {
    const found = `${'w'.repeat(300)} ${'word '.repeat(50)}`;
    const lines = stepLines([{ ...ROUTING, found }], columns);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(lines.join('').replaceAll(' ', '')).toContain('w'.repeat(300));
  });
});

describe('a line of the list', () => {
  it('says where the domain leads, and how far it is', () => {
    expect(domainLine(OWN)).toMatch(/^app\.example\.org +code\.alice +pending, routing wrong$/);
    const live = { ...OWN, live: true, steps: [PROOF], wildcard: true };
    expect(domainLine(live)).toMatch(/^app\.example\.org and \* +code\.alice +live$/);
    const { workspace: _, ...device } = OWN;
    expect(targetWords(device)).toBe('alice');
    expect(targetWords({ ...device, wildcard: true })).toMatch(/^alice, and each name below it/);
  });
});

describe('lines that are drawn anew', () => {
  function terminal(columns: number, rows: number) {
    const written: string[] = [];
    const write = (text: string) => written.push(text) > 0;
    const size = { columns, rows };
    const lines = new LiveLines(Object.assign(size, { write }));
    return { lines, written, size };
  }

  it('go over what they were, row by row, and only when they have changed', () => {
    const { lines, written } = terminal(20, 30);
    lines.draw(['one', 'x'.repeat(41), '']);
    lines.draw(['one', 'x'.repeat(41), '']);
    lines.draw(['two']);
    expect(written).toEqual([`one\n${'x'.repeat(41)}\n\n`, '\x1b[5A\r\x1b[Jtwo\n']);
  });

  it('count the rows by the width that the terminal has by then', () => {
    const { lines, written, size } = terminal(40, 30);
    lines.draw(['y'.repeat(40)]);
    size.columns = 20;
    lines.draw(['z']);
    expect(written[1]).toBe('\x1b[2A\r\x1b[Jz\n');
  });

  it('begin below, where the old ones have left the screen or are to stay', () => {
    const { lines, written } = terminal(20, 2);
    lines.draw(['one', 'two']);
    lines.draw(['three']);
    expect(written[1]).toBe('three\n');
    lines.leave();
    lines.draw(['four']);
    expect(written[2]).toBe('four\n');
  });
});
