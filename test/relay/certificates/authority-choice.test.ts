// What an order counts as in the budgets of an authority.
import { expect, test } from 'vitest';
import { spending } from '../../../relay/certificates/authority-choice.ts';
import type { Job } from '../../../relay/registry/certificates/job.ts';
import { hostname } from '../registry/zone-fixture.ts';

const AUTHORITY = { name: 'ca', budget: { ordersPer3Hours: 300, certificatesPerWeek: 50 } };

/** The domain that a certificate for this name counts below, of a vendor with this zone. */
function counted(text: string, zone = 'vendor.example'): string {
  const subject = hostname(text);
  const job: Job = {
    ...{ purpose: 'domain', subject, thumbprint: '', names: [subject], csr: undefined },
    ...{ urgency: 0, dueAtMs: 0, attempts: 0, lastError: undefined, lastErrorAtMs: undefined },
    ...{ authority: 0, order: undefined, holder: 'one', fence: 1, leasedUntilMs: 1 },
    present: undefined,
  };
  return spending(job, AUTHORITY, { zone: hostname(zone), exempt: false, nowMs: 0 }).domain;
}

test.each([
  ['app.example.org', 'example.org'],
  ['shop.example.co.uk', 'example.co.uk'],
  ['other.co.uk', 'other.co.uk'],
  ['a.alice.github.io', 'alice.github.io'],
  ['alice.vendor.example', 'vendor.example'],
])('a certificate for %s counts below %s', (subject, domain) => {
  expect(counted(subject)).toBe(domain);
});

test('two customers below the same public suffix share no budget', () => {
  expect(counted('shop.example.co.uk')).not.toBe(counted('other.co.uk'));
});

test('what is beside the zone in its registered domain counts with it', () => {
  expect(counted('alice.run.vendor.co.uk', 'run.vendor.co.uk')).toBe('run.vendor.co.uk');
  expect(counted('shop.vendor.co.uk', 'run.vendor.co.uk')).toBe('run.vendor.co.uk');
  expect(counted('shop.other.co.uk', 'run.vendor.co.uk')).toBe('other.co.uk');
});
