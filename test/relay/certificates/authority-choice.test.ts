// What an order counts as in the budgets of an authority.
import { expect, test } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { readChain } from '../../../certs/chain.ts';
import { spending } from '../../../relay/certificates/authority-choice.ts';
import type { Job } from '../../../relay/registry/certificates/job.ts';
import { URGENCY } from '../../../relay/registry/certificates/work.ts';
import { hostname } from '../registry/zone-fixture.ts';

const AUTHORITY = { name: 'ca', budget: { ordersPer3Hours: 300, certificatesPerWeek: 50 } };

function job(text: string, rest: Partial<Job> = {}): Job {
  const subject = hostname(text);
  return {
    ...{ purpose: 'domain', subject, thumbprint: '', names: [subject], csr: undefined },
    ...{ urgency: 0, dueAtMs: 0, attempts: 0, lastError: undefined, lastErrorAtMs: undefined },
    ...{ authority: 0, order: undefined, holder: 'one', fence: 1, leasedUntilMs: 1 },
    present: undefined,
    ...rest,
  };
}

/** The domain that a certificate for this name counts below, of a vendor with this zone. */
function counted(text: string, zone = 'vendor.example'): string {
  return spending(job(text), AUTHORITY, { zone: hostname(zone), exempt: false, nowMs: 0 }).domain;
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

test('what keeps a certificate in use, or the zone, or is asked for by the operator, is in no share', async () => {
  const [alice, zone] = [hostname('alice.vendor.example'), hostname('vendor.example')];
  const { certPem: chain } = await (await createAuthority(zone)).issue([alice]);
  const { notBeforeMs, notAfterMs } = readChain(chain);
  const times = { notBeforeMs, notAfterMs, window: undefined };
  const present = { ...times, id: 1, ca: 'ca', names: [alice], chain };
  const early = notBeforeMs + (notAfterMs - notBeforeMs) / 3;
  const fresh = (rest: Partial<Job>, nowMs = early) =>
    spending(job(alice, rest), AUTHORITY, { zone, exempt: false, nowMs }).fresh;
  expect(fresh({ purpose: 'relay' })).toBe(true);
  expect(fresh({ purpose: 'relay', urgency: notAfterMs, present })).toBe(false);
  expect(fresh({ purpose: 'relay', urgency: URGENCY.asked })).toBe(false);
  expect(fresh({ purpose: 'relay', urgency: URGENCY.zone })).toBe(false);
  // A device that comes with another key again and again renews nothing by that.
  expect(fresh({ purpose: 'device' })).toBe(true);
  expect(fresh({ purpose: 'device', present })).toBe(true);
  expect(fresh({ purpose: 'device', present }, notAfterMs - 1)).toBe(false);
});
