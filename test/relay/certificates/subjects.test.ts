import { expect, test } from 'vitest';
import { type KnownNames, subjectsOf } from '../../../relay/certificates/subjects.ts';
import { hostname, ZONE } from './issuing-stand.ts';

const known: KnownNames = {
  deviceOf: (name) => (name === 'alice' ? {} : undefined),
  successorOf: (name) => (name === 'former' ? name : undefined),
  ownDomain: (text) =>
    ['app.example.org', 'code.app.example.org'].includes(text)
      ? { domain: 'app.example.org' }
      : undefined,
};

test.each([
  ['vendor.dev', ['vendor.dev']],
  ['my.vendor.dev', ['vendor.dev']],
  ['tunnel.vendor.dev', ['vendor.dev']],
  ['alice.vendor.dev', ['alice.vendor.dev', 'vendor.dev']],
  ['former.vendor.dev', ['former.vendor.dev', 'vendor.dev']],
  ['nobody.vendor.dev', ['vendor.dev']],
  ['code.alice.vendor.dev', ['alice.vendor.dev']],
  ['8080--code.alice.vendor.dev', ['alice.vendor.dev']],
  ['lan.alice.vendor.dev', ['alice.vendor.dev']],
  ['code.former.vendor.dev', ['former.vendor.dev']],
  ['code.nobody.vendor.dev', []],
  ['x.tunnel.vendor.dev', []],
  ['a.code.alice.vendor.dev', []],
  ['wpad.alice.vendor.dev', []],
  ['app.example.org', ['app.example.org']],
  ['code.app.example.org', ['app.example.org']],
  ['bank.example', []],
  ['evilvendor.dev', []],
  ['alice.vendor.dev.evil.example', []],
])('%s may be served by %j', (text, subjects) => {
  expect(subjectsOf(hostname(text), ZONE, known)).toEqual(subjects);
});
