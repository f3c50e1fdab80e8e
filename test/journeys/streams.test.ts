// The promise: streams of any size pass unchanged and leave no trace in memory, and many at once do not
// get in each other's way.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bulk, download, upload } from '../world/bulk.ts';
import type { ByteStream } from '../world/byte-stream.ts';
import { readResponse, statusOf } from '../world/http-text.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive } from '../world/visitor.ts';
import { HttpWorkspace } from '../world/workspace.ts';

const MIB = 1_048_576;
/** Four times what may grow; the long suite sends ten gigabytes. */
const BULK = 256 * MIB;
/** Beyond what is held per hop there is V8's heap, which breathes. */
const GROWTH_MAX = 64 * MIB;
const VISITORS = 1_000;

const open = new AsyncDisposableStack();
let web: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  web = open.use(await HttpWorkspace.open());
  vendor = open.use(await startVendor({ web: web.url }, { relayConfig: 'accessLog: false\n' }));
}, 60_000);
afterAll(() => open.disposeAsync());

function expectWhole(bulk: Bulk, bytes: number): void {
  expect(bulk.bytes).toBe(bytes);
  expect(bulk.received).toBe(bulk.sent);
  expect(bulk.grewBytes.relay).toBeLessThan(GROWTH_MAX);
  expect(bulk.grewBytes.device).toBeLessThan(GROWTH_MAX);
}

describe('one stream', () => {
  it('F-14 carries a large download unchanged, in flat memory', async () => {
    expectWhole(await download(vendor, web, vendor.url('web'), BULK), BULK);
  }, 120_000);

  it('F-14 carries a large upload unchanged, in flat memory', async () => {
    expectWhole(await upload(vendor, web, vendor.url('web'), BULK), BULK);
  }, 120_000);
});

describe('many streams', () => {
  it(`U-5 serves ${VISITORS} visitors who are all there at once, each his own answer`, async () => {
    const waiting: { readonly path: string; answer(): void }[] = [];
    const all = Promise.withResolvers<void>();
    web.answer = (request, response) => {
      const path = request.url ?? '';
      waiting.push({ path, answer: () => response.end(`${path} of ${request.headers.host}`) });
      if (waiting.length === VISITORS) all.resolve();
    };
    const visitors: ByteStream[] = [];
    const host = vendor.host('web');
    for (let index = 0; index < VISITORS; index += 20) {
      const group = Array.from({ length: 20 }, () => arrive(vendor, 'web'));
      for (const visitor of await Promise.all(group)) {
        const path = `/visitor-${visitors.length}`;
        visitors.push(visitor);
        visitor.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      }
    }
    await all.promise;
    expect(await streamsOpen(VISITORS)).toBe(VISITORS);
    // The last come first, so that the order of streams and of answers differ.
    for (const { answer } of waiting.toReversed()) answer();
    for (const [index, visitor] of visitors.entries()) {
      const response = await readResponse(visitor, 'GET');
      expect(statusOf(response)).toBe(200);
      expect(response.body.toString('latin1')).toBe(`/visitor-${index} of ${host}`);
    }
    const closed = visitors.map(({ socket }) => once(socket, 'close'));
    for (const { socket } of visitors) socket.destroy();
    await Promise.all(closed);
    expect(await streamsOpen(0)).toBe(0);
  }, 90_000);
});

/** The relay's own count, once it is what is expected, or what it was at last. */
async function streamsOpen(expected: number): Promise<number> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const count = await vendor.metric('relay', 'waygate_streams');
    if (count === expected || performance.now() > deadline) return count;
    await pause(100);
  }
}
