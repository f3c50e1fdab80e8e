// A hundred thousand visitors, each with one connection, one stream and one request: none is lost,
// none gets another one's answer, and nothing of them is left behind. WAYGATE_STORM sets another number.
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readResponse, statusOf } from '../world/http-text.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive } from '../world/visitor.ts';
import { until } from '../world/visits.ts';
import { HttpWorkspace } from '../world/workspace.ts';

const VISITORS = Number(process.env['WAYGATE_STORM'] ?? 100_000);
const AT_A_TIME = 64;
/** One address has 28,000 ports, and the system keeps each for a minute. */
const ADDRESSES = 16;
/** Of a hundred thousand visitors 40 bytes each: less than any object that could be left behind. */
const LIVE_GROWTH_MAX = 4 * 1_048_576;
/** Garbage that V8 leaves for later; of how much there is, it decides by itself. */
const RESIDENT_GROWTH_MAX = 256 * 1_048_576;
const PROGRAMS = ['relay', 'device'] as const;

const open = new AsyncDisposableStack();
let web: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  web = open.use(await HttpWorkspace.open());
  web.answer = (request, response) => response.end(`answer to ${request.url}`);
  const preload = new URL('../world/collect-on-signal.ts', import.meta.url);
  vendor = open.use(
    await startVendor(
      { web: web.url },
      {
        relayConfig: 'accessLog: false\n',
        under: ['env', `NODE_OPTIONS=--expose-gc --import=${preload}`],
      },
    ),
  );
}, 60_000);
afterAll(() => open.disposeAsync());

async function visit(number: number): Promise<void> {
  const { address: host, port } = vendor;
  const socket = connect({ host, port, localAddress: `127.0.1.${1 + (number % ADDRESSES)}` });
  using visitor = await arrive(vendor, 'web', { socket });
  visitor.write(
    `GET /${number} HTTP/1.1\r\nHost: ${vendor.host('web')}\r\nConnection: close\r\n\r\n`,
  );
  const response = await readResponse(visitor);
  expect([statusOf(response), String(response.body)]).toEqual([200, `answer to /${number}`]);
  expect(await visitor.ended()).toBe('end');
}

/** Numbers `from` to `to`, some at a time. */
async function visits(from: number, to: number): Promise<void> {
  let next = from;
  const visitors = Array.from({ length: AT_A_TIME }, async () => {
    while (next < to) {
      const number = next;
      next += 1;
      await visit(number);
    }
  });
  await Promise.all(visitors);
}

/** What the program holds when all garbage is gone. */
async function liveBytes(name: (typeof PROGRAMS)[number]): Promise<number> {
  vendor.program(name).signal('SIGUSR2');
  // The signal is served before the second of two requests that follow it.
  await vendor.metrics(name);
  const figures = await vendor.metrics(name);
  const heap = figures.get('nodejs_heap_size_used_bytes') ?? Number.NaN;
  return heap + (figures.get('nodejs_external_memory_bytes') ?? Number.NaN);
}

function openFiles(name: (typeof PROGRAMS)[number]): number {
  return readdirSync(`/proc/${vendor.program(name).pid}/fd`).length;
}

describe('a storm of short streams', () => {
  it(`F-15: ${VISITORS} visitors come and go without a trace`, async () => {
    const quiet = PROGRAMS.map(openFiles);
    await visits(0, VISITORS / 10);
    const resident = PROGRAMS.map((name) => vendor.residentBytes(name));
    const live = await Promise.all(PROGRAMS.map(liveBytes));
    const begunMs = performance.now();
    await visits(VISITORS / 10, VISITORS);
    const seconds = (performance.now() - begunMs) / 1_000;
    const gone = () => String(PROGRAMS.map(openFiles)) === String(quiet);
    await until(gone, 15_000, 'all descriptors to be given back');
    process.stderr.write(`${Math.round((VISITORS * 0.9) / seconds)} visitors/s\n`);
    for (const [at, name] of PROGRAMS.entries()) {
      const grown = vendor.residentBytes(name) - (resident[at] ?? 0);
      const liveGrown = (await liveBytes(name)) - (live[at] ?? 0);
      process.stderr.write(`${name}: ${liveGrown} bytes more, ${grown} with garbage\n`);
      expect(liveGrown).toBeLessThan(LIVE_GROWTH_MAX);
      expect(grown).toBeLessThan(RESIDENT_GROWTH_MAX);
    }
    expect(await vendor.metric('relay', 'waygate_streams')).toBe(0);
    const ok = 'waygate_entrance_requests_total{status="2xx"}';
    expect(await vendor.metric('relay', ok)).toBe(VISITORS);
    expect(await vendor.metric('device', 'waygate_device_streams_accepted')).toBe(VISITORS);
  }, 1_200_000);
});
