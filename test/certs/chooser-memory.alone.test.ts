// What contexts cost lies outside V8's heap, where nothing but the resident memory tells of it.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createAuthority } from '../../certs/authority.ts';
import { CHOOSER_LIMITS, Chooser } from '../../certs/chooser.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';

const MB = 2 ** 20;
/** By the comment at `freedPerCollection`, with what the allocator leaves unused. */
const STATED_MB = 250 * 1.2;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function residentMb(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage.rss() / MB;
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

test('10,000 names in turn, and some again, take no more memory than is stated', async () => {
  const zone = hostname('vendor.localhost');
  const authority = await createAuthority(zone);
  const issued = await authority.issue([zone, `*.${zone}`]);
  // Leaf and intermediate, as public authorities send them.
  const certificate = { ...issued, certPem: issued.certPem + authority.caPem };
  const chooser = new Chooser({
    subjects: (subject) => [subject],
    source: { load: () => Promise.resolve(certificate), onChange: () => undefined },
    settings: () => ({ minVersion: 'TLSv1.2' }),
    log: pino({ enabled: false }),
  });
  await chooser.choose(zone);
  const names = Array.from({ length: 10_000 }, (_, at) => hostname(`dev-${at}.${zone}`));
  const before = residentMb();
  const grown: number[] = [];
  for (const count of [names.length, names.length / 4]) {
    let most = 0;
    for (const [at, name] of names.slice(0, count).entries()) {
      if ((await chooser.choose(name)) === undefined) throw new Error(`${name} was refused`);
      if (at % 500 === 0) most = Math.max(most, process.memoryUsage.rss() / MB);
    }
    grown.push(most - before);
  }
  expect(chooser.size).toBe(CHOOSER_LIMITS.contextsMax);
  const [first = Number.NaN, second = Number.NaN] = grown;
  expect(first).toBeLessThan(STATED_MB);
  expect(second).toBeLessThan(first + 0.15 * STATED_MB);
  // The bound is near: a count of contexts that cost nothing would show nothing.
  expect(first).toBeGreaterThan(STATED_MB / 3);
}, 60_000);
