// H1-12 in full: two thousand visitors in each of the ways to be slow, with the deadlines as they are.
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RawVisitor } from '../relay/attacks/raw-visitor.ts';
import { get } from '../relay/attacks/requests.ts';
import { NormalVisitor, type Slowness, SlowVisitors } from '../relay/attacks/slow-visitors.ts';
import { underAttack } from '../relay/attacks/under-attack.ts';
import { until } from '../world/visits.ts';

const vendor = underAttack();
/** Most of it is what TLS holds for a connection. */
const CONNECTION_BYTES_MAX = 65_536;
/** What stalled answers may add to that: a window and what is with the socket. */
const STALLED_BYTES_MAX = 524_288;

interface Siege {
  readonly how: Slowness;
  readonly count: number;
  readonly notBeforeS: number;
  readonly goneWithinS: number;
  /** What they are told; nothing when they do not read. */
  readonly told: number | undefined;
}

const SIEGES: readonly Siege[] = [
  { how: 'head', count: 2_000, notBeforeS: 9, goneWithinS: 15, told: 408 },
  // A device takes 2,000 streams; the rest is for the one who is not slow.
  { how: 'body', count: 1_900, notBeforeS: 29, goneWithinS: 40, told: 408 },
  // Each of them fills megabytes of the kernel's buffers before the relay has to wait.
  { how: 'read', count: 200, notBeforeS: 58, goneWithinS: 75, told: undefined },
];

describe('slow visitors by the thousand', { timeout: 240_000 }, () => {
  it.each(SIEGES)('H1-12 $count slow by $how are gone within $goneWithinS s', async (siege) => {
    const { how, count, goneWithinS, notBeforeS, told } = siege;
    const residentBytes = vendor().residentBytes('relay');
    using slow = await SlowVisitors.begin(vendor(), how, count);
    using normal = new NormalVisitor(vendor());
    let mostBytes = 0;
    const allGone = (): boolean => {
      mostBytes = Math.max(mostBytes, vendor().residentBytes('relay'));
      return slow.left === 0;
    };
    await until(allGone, (goneWithinS + 10) * 1_000, `all slow by ${how} gone`);
    const normalMs = await normal.stop();
    expect(Math.max(...slow.goneAfterS)).toBeLessThan(goneWithinS);
    expect(Math.min(...slow.goneAfterS)).toBeGreaterThan(notBeforeS);
    if (told !== undefined) {
      const statuses = slow.visitors.flatMap((each) => each.finals().map(({ status }) => status));
      expect(statuses).toEqual(slow.visitors.map(() => told));
    }
    expect(normalMs).toBeLessThan(200);
    const each = CONNECTION_BYTES_MAX + (how === 'read' ? STALLED_BYTES_MAX : 0);
    expect(mostBytes - residentBytes).toBeLessThan(count * each);
    expect(await vendor().alive()).toBe(true);
  });
});

describe('a visitor who is slow for a reason', { timeout: 200_000 }, () => {
  it('H1-12 and takes something now and then is left alone', async () => {
    vendor().workspace.plays.set('/steady', {
      whole: ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n');
        const piece = Buffer.alloc(65_536);
        const more = (): void => {
          while (socket.writable && socket.write(piece));
        };
        socket.on('drain', more);
        more();
      },
    });
    using visitor = await RawVisitor.dial(vendor());
    let bytes = 0;
    // Not a recording one: it is too much to keep.
    visitor.socket.removeAllListeners('data');
    visitor.socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
      visitor.socket.pause();
    });
    const reading = setInterval(() => visitor.socket.resume(), 250);
    visitor.say(get('/steady'));
    await pause(100_000);
    clearInterval(reading);
    const [link] = vendor().workspace.of(visitor.address);
    expect([visitor.ending, link?.closed]).toEqual([undefined, false]);
    expect(bytes).toBeGreaterThan(1_000_000);
  });
});

describe('a visitor who has left', { timeout: 700_000 }, () => {
  it('H1-12 is noticed within 6 minutes, though what he sent ahead waits unread', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/for-ever', { whole: () => undefined });
    const visitor = await RawVisitor.dial(vendor());
    visitor.say(`${get('/for-ever')}GET`);
    await workspace.seen(visitor.address, 1);
    visitor.socket.destroy();
    const [link] = workspace.of(visitor.address);
    await until(() => link?.closed === true, 360_000, 'the workspace is told');
    expect(link?.broken).toBe(true);
  });
});
