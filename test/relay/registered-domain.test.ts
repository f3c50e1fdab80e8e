// Registered domains as the Public Suffix List has them, private part included, for authorities count so.
import { describe, expect, test } from 'vitest';
import {
  isPublicSuffix,
  isRegisteredDomain,
  registeredDomain,
} from '../../relay/registered-domain.ts';

describe('the registered domain', () => {
  test.each([
    ['example.org', 'example.org'],
    ['a.b.example.org', 'example.org'],
    ['shop.example.co.uk', 'example.co.uk'],
    ['other.co.uk', 'other.co.uk'],
    ['a.alice.github.io', 'alice.github.io'],
    // A wildcard in the list, and its exception.
    ['a.b.foo.ck', 'b.foo.ck'],
    ['a.www.ck', 'www.ck'],
    // What no list knows.
    ['a.b.vendor.example', 'vendor.example'],
    ['a.xn--bcher-kva.xn--unheard', 'xn--bcher-kva.xn--unheard'],
  ])('of %s is %s', (hostname, domain) => {
    expect(registeredDomain(hostname)).toBe(domain);
    expect(isPublicSuffix(hostname)).toBe(false);
    expect(isRegisteredDomain(hostname)).toBe(hostname === domain);
  });

  test.each(['co.uk', 'github.io', 'foo.ck', 'xn--55qx5d.cn'])('%s is a public suffix', (name) => {
    expect(isPublicSuffix(name)).toBe(true);
    expect(isRegisteredDomain(name)).toBe(false);
    expect(registeredDomain(name)).toBe(name);
  });
});
