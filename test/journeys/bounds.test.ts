// The promise: an operator's bounds hold, and are told. One address cannot use up a device, and what
// belongs to one name is worth nothing for another.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ByteStream } from '../world/byte-stream.ts';
import { readRequest, readResponse, statusOf } from '../world/http-text.ts';
import { requires } from '../world/requires.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, askRaw } from '../world/visitor.ts';
import { RawWorkspace } from '../world/workspace.ts';

const PER_SECOND = 40;
const STREAMS = 5;
const open = new AsyncDisposableStack();
let vendor: Vendor;
let workspace: RawWorkspace;

beforeAll(async () => {
  workspace = open.use(await RawWorkspace.open());
  const limits = `{ requestsPerSecondPerAddress: ${PER_SECOND}, streamsPerVisitor: ${STREAMS} }`;
  vendor = open.use(
    await startVendor({ code: workspace.url }, { relayConfig: `limits: ${limits}\n` }),
  );
}, 60_000);
afterAll(() => open.disposeAsync());

describe('bounds', () => {
  it('more requests in a second than allowed are told 429, and not passed on', async () => {
    using visitor = await arrive(vendor, 'code');
    const host = vendor.host('code');
    const before = workspace.connections.length;
    const counts = new Map<number, number>();
    for (let asked = 0; asked < 3 * PER_SECOND; asked++) {
      visitor.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      const status = statusOf(await readResponse(visitor, 'GET'));
      counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted()).toEqual([204, 429]);
    expect(counts.get(204)).toBeGreaterThanOrEqual(PER_SECOND);
    expect(counts.get(429)).toBeGreaterThan(0);
    expect(workspace.connections.length).toBe(before + 1);
  }, 30_000);

  it('U-5 one address gets no more streams of a device than allowed, and is told so', async () => {
    await untilNextSecond();
    const release = Promise.withResolvers<void>();
    const host = vendor.host('code');
    const held: ByteStream[] = [];
    for (let count = 0; count < STREAMS; count++) {
      const reached = workspace.next(async (connection) => {
        await readRequest(connection);
        void release.promise.then(() => connection.write('HTTP/1.1 204 No Content\r\n\r\n'));
      });
      const visitor = await arrive(vendor, 'code');
      held.push(visitor);
      visitor.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await reached;
    }
    const refused = await askRaw(vendor, 'code', `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(statusOf(refused)).toBe(429);
    release.resolve();
    for (const visitor of held) {
      expect(statusOf(await readResponse(visitor, 'GET'))).toBe(204);
      visitor.socket.destroy();
    }
  }, 30_000);
});

const need = requires('openssl');

describe.skipIf(need.skip)(`tickets ${need.why}`, () => {
  it('T-9 a session ticket of one name does not resume at another', () => {
    const ticket = join(mkdtempSync(join(tmpdir(), 'waygate-ticket-')), 'session.pem');
    open.defer(() => rmSync(dirname(ticket), { recursive: true }));
    expect(handshake(vendor.hostname('code'), '-sess_out', ticket)).toContain('New, TLSv1.2');
    expect(handshake(vendor.hostname('code'), '-sess_in', ticket)).toContain('Reused, TLSv1.2');
    expect(handshake('vendor.test', '-sess_in', ticket)).toContain('New, TLSv1.2');
  }, 30_000);
});

/** What OpenSSL's client, which offers any ticket to any name, says of a handshake. */
function handshake(servername: string, ...session: readonly string[]): string {
  const where = ['-connect', `${vendor.address}:${vendor.port}`, '-servername', servername];
  const args = ['s_client', ...where, '-CAfile', vendor.ca, '-tls1_2', ...session];
  return spawnSync('openssl', args, { input: '', encoding: 'utf8', timeout: 10_000 }).stdout;
}

/** The bound counts by seconds; what other tests have asked must not count here. */
async function untilNextSecond(): Promise<void> {
  await delay(1_100);
}
