// PROTOCOL.md is what a third party builds from. Each number in its tables is that of the code.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FRAME, HEADER_BYTES } from '../../../relay/protocol/frame.ts';
import { HELLO_LIMITS, PROTOCOL_VERSIONS } from '../../../relay/protocol/hello.ts';
import { LIMITS, PROTOCOL_VERSION, SUBPROTOCOL } from '../../../relay/protocol/limits.ts';
import { RESET_CODES } from '../../../relay/protocol/reset-reason.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { HEADER } from '../../world/memory-tunnel.ts';
import { RawTunnel, u32 } from '../../world/raw-tunnel.ts';

const FILE = new URL('../../../relay/protocol/PROTOCOL.md', import.meta.url);
const TEXT = readFileSync(FILE, 'utf8');
const LIMITS_SOURCE = readFileSync(new URL('limits.ts', FILE), 'utf8');

/** Rows of the table whose first column is called so: name by number, or number by name. */
function table(firstColumns: string): string[][] {
  const columns = firstColumns.replace(' | ', ' *\\| ');
  const start = TEXT.search(new RegExp(`^\\| ${columns} *\\|`, 'm'));
  expect(start, `a table that begins with ${firstColumns}`).toBeGreaterThan(-1);
  const [block = ''] = TEXT.slice(start).split('\n\n');
  const [, , ...rows] = block.split('\n');
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const number = (cell = ''): number => Number(cell.replaceAll(',', ''));
const bare = (cell = ''): string => cell.replaceAll('`', '');

describe('PROTOCOL.md', () => {
  it('has every limit, with its number, and no other', () => {
    const told = Object.fromEntries(
      table('limit').map(([name, value]) => [bare(name), number(value)]),
    );
    expect(told).toEqual(LIMITS);
  });

  it('marks the limits of the wire that limits.ts marks', () => {
    const told = table('limit').filter(([, , meaning]) => meaning?.startsWith('(wire)'));
    const marked = [...LIMITS_SOURCE.matchAll(/\(wire\) \*\/\n {2}(\w+):/g)].map((one) => one[1]);
    expect(told.map(([name]) => bare(name))).toEqual(marked);
  });

  it('has every frame type, reset code and close code, and no other', () => {
    const frames = table('type | frame').map(([type, name]) => [name, number(type)]);
    expect(Object.fromEntries(frames)).toEqual(FRAME);
    const resets = table('code | reason').map(([code, reason]) => [bare(reason), number(code)]);
    expect(Object.fromEntries(resets)).toEqual(RESET_CODES);
    const closes = table('code | name').map(([code, name]) => [bare(name), number(code)]);
    expect(Object.fromEntries(closes)).toEqual(CLOSE);
  });

  it('tells no number in its prose that the code does not have', () => {
    const known = new Set<number>([
      ...Object.values(LIMITS),
      ...Object.values(HELLO_LIMITS),
      // The second bound of credit, the time until silence is noticed, and a token in its frame.
      2 * LIMITS.windowBytesMax,
      LIMITS.deadAfterMs + LIMITS.pulseMs,
      LIMITS.helloBytesMax - HEADER_BYTES,
      // The example in section 6, which has a test of its own.
      ...EXAMPLE,
    ]);
    const told = [...TEXT.matchAll(/(?<![\w.])\d{1,3}(?:,\d{3})+(?![\w])/g)].map(([text]) => text);
    expect(told.length).toBeGreaterThan(40);
    expect(told.filter((text) => !known.has(number(text)) && number(text) !== 65_535)).toEqual([]);
  });

  it('names the subprotocol and the version', () => {
    expect(TEXT).toContain(`the subprotocol \`${SUBPROTOCOL}\``);
    expect(TEXT).toContain(`The version of this document is ${PROTOCOL_VERSION}.`);
    expect(PROTOCOL_VERSIONS).toEqual([1, PROTOCOL_VERSION]);
  });

  it('shows a frame as it is', () => {
    const hex = encodeFrame(FRAME.data, 7, Buffer.from('hi')).toString('hex');
    expect(TEXT).toContain(`\`${hex.replaceAll(/(..)(?!$)/g, '$1 ')}\``);
  });

  it('counts credit in its example as the code does', async () => {
    const [upload = 0, waiting = 0, almost = 0, half = 0] = EXAMPLE;
    const relay = new RawTunnel('relay');
    const dataBytes = async (): Promise<number> =>
      (await relay.heard(FRAME.data)).reduce((sum, frame) => sum + frame.payload.length, 0);
    relay.session.open(HEADER)?.write(Buffer.alloc(upload));
    expect(await dataBytes()).toBe(upload - waiting);
    relay.say(encodeFrame(FRAME.window, 1, u32(half)));
    expect(await dataBytes()).toBe(upload);
    relay.stop();

    const device = new RawTunnel('device');
    const listener = device.open(1);
    listener.takes = false;
    for (let sent = 0; sent < LIMITS.windowBytesStart; sent += 32_768) {
      device.say(encodeFrame(FRAME.data, 1, Buffer.alloc(32_768)));
    }
    listener.take(almost);
    expect(await device.heard(FRAME.window)).toEqual([]);
    listener.take(1);
    expect(await device.heard(FRAME.window)).toMatchObject([{ payload: u32(half) }]);
    device.stop();
  });
});

/** Upload, what waits at the relay, not half of the window, half of it, and what that leaves. */
const EXAMPLE = [300_000, 37_856, 131_071, 131_072, 131_073, 93_216, 168_928];
