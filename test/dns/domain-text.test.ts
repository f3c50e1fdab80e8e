// What people type for a domain: what is one passes, and what is none is told in words that help.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { domainTextFault } from '../../dns/domain-text.ts';
import { parseHostname } from '../../dns/name.ts';

describe('a domain as it is typed', () => {
  it.each(['app.example.org', 'APP.Example.ORG', 'example.org.', 'xn--bcher-kva.example', 'a.b'])(
    '%s is one',
    (text) => expect(domainTextFault(text)).toBeUndefined(),
  );

  it.each([
    ['', 'must have 3 to 253 characters'],
    [`${'a.'.repeat(127)}bc`, 'must have 3 to 253 characters'],
    ['localhost', 'must have a dot: app.example.org'],
    ['localhost.', 'must have a dot: app.example.org'],
    ['https://app.example.org/', 'must be the domain alone, without https:// and without a path'],
    ['app.example.org/x', 'must be the domain alone, without https:// and without a path'],
    ['app.example.org:443', 'must be written without a port'],
    ['*.example.org', 'must be written without the star; that it is a wildcard is said beside it'],
    ['192.0.2.1', 'is an address, not a domain'],
    ['2001:db8::1', 'is an address, not a domain'],
    ['bücher.example', 'must be written in ASCII: xn--bcher-kva.example'],
    ['_dmarc.example.org', /^must be a domain of letters/],
    ['a..b', /^must be a domain of letters/],
    ['-a.example', /^must be a domain of letters/],
    ['app example.org', /^must be a domain of letters/],
    ['app.example.123', /^must be a domain of letters/],
    ['\u0000.example', /^must be a domain of letters/],
  ])('%j is none', (text, fault) => {
    if (typeof fault === 'string') expect(domainTextFault(text)).toBe(fault);
    else expect(domainTextFault(text)).toMatch(fault);
  });

  it('has no fault exactly when it is a hostname with a dot', () => {
    const label = fc.string({ maxLength: 5 });
    const texts = fc.oneof(
      fc.string(),
      fc.domain(),
      fc.array(label).map((all) => all.join('.')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const is = parseHostname(text)?.includes('.') === true;
        expect(domainTextFault(text) === undefined).toBe(is);
      }),
    );
  });
});
