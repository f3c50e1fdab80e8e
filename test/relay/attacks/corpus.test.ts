// The whole smuggling corpus over real TLS, through a relay and a device that run, to a workspace that
// keeps every byte.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCanonical } from '../entrance/canonical-parser.ts';
import { CORPUS_HOSTNAME, type SmugglingCase } from '../entrance/smuggling-case.ts';
import { SMUGGLING_CORPUS } from '../entrance/smuggling-corpus.ts';
import { AttackedVendor } from './attacked-vendor.ts';
import { saysClose } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import type { RecordedConnection, SeenRequest } from './recording-workspace.ts';

let vendor: AttackedVendor;
let streamsBefore = 0;

beforeAll(async () => {
  vendor = await AttackedVendor.start();
  vendor.workspace.plays.set('/', { whole: answer });
  streamsBefore = await vendor.streamsOpened();
}, 90_000);
afterAll(async () => {
  await vendor?.[Symbol.asyncDispose]();
});

describe('the smuggling corpus over a live relay', { timeout: 30_000 }, () => {
  it.concurrent.each(SMUGGLING_CORPUS)('$id $name', async (attack) => {
    using visitor = await RawVisitor.dial(vendor);
    await attackWith(visitor, attack);
    judgeVisitor(visitor, attack);
    judgeWorkspace(visitor.address, attack);
  });

  it('opened a stream for what was passed on, and none for what was refused', async () => {
    const reached = SMUGGLING_CORPUS.filter((attack) => attack.reached > 0).length;
    expect((await vendor.streamsOpened()) - streamsBefore).toBe(reached);
    expect(await vendor.alive()).toBe(true);
  });
});

/** Says all of it, and waits until all is answered. */
async function attackWith(visitor: RawVisitor, attack: SmugglingCase): Promise<void> {
  if (attack.expect === 'accept') {
    visitor.say(attack.bytes);
    await visitor.answer(attack.reached);
    return;
  }
  // A request that is refused within its body may be taken back before the workspace has seen it; it
  // is given the time to get there.
  const headEnd = attack.reached === 0 ? 0 : attack.bytes.indexOf('\r\n\r\n') + 4;
  if (headEnd > 0) {
    visitor.say(attack.bytes.slice(0, headEnd));
    await vendor.workspace.seen(visitor.address, attack.reached);
  }
  visitor.say(attack.bytes.slice(headEnd));
  await visitor.over();
}

function judgeVisitor(visitor: RawVisitor, { expect: expected, reached }: SmugglingCase): void {
  const answers = visitor.finals();
  if (expected === 'accept') {
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 204 || status === 101)).toEqual(statuses);
    expect(statuses.length).toBe(reached);
    return;
  }
  const last = answers.at(-1);
  expect([expected].flat()).toContain(last?.status);
  expect(saysClose(last?.head ?? '')).toBe(true);
  expect(last?.whole).toBe(true);
  expect(visitor.ending).toBe('end');
  expect(answers.length).toBeLessThanOrEqual(reached + 1);
}

function judgeWorkspace(address: string, { reached }: SmugglingCase): void {
  const connections = vendor.workspace.of(address);
  expect(connections.length).toBe(Math.min(reached, 1));
  for (const { text, requests } of connections) {
    const parsed = parseCanonical(text, CORPUS_HOSTNAME);
    expect(parsed.length).toBe(reached);
    expect(requests.length).toBe(reached);
    for (const { fields } of parsed) expect(fields).toContainEqual(['x-forwarded-for', address]);
  }
}

/** A 101 where one is asked for, so that these are seen to their end as well. */
function answer(connection: RecordedConnection, { head }: SeenRequest): void {
  const key = /\r\nUpgrade: websocket\r\n/.test(head)
    ? /\r\nSec-WebSocket-Key: ([^\r]*)/i.exec(head)?.[1]
    : undefined;
  if (key === undefined) return connection.say('HTTP/1.1 204 No Content\r\n\r\n');
  connection.raw = true;
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  connection.say(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
  );
}
