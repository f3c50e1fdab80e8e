// Visitors of one workspace who break off at any byte, and a workspace that does: each sees his own bytes
// only, and nobody completes what another has begun.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import { SeededRandom } from '../../world/random.ts';
import type { AttackedVendor } from './attacked-vendor.ts';
import { valuesIn } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import type { RecordedConnection, SeenRequest } from './recording-workspace.ts';
import { get, request } from './requests.ts';

const AT_A_TIME = 16;
const BODY_BYTES_MAX = 40_000;

/** Text of one visitor only: a part of it tells whose it is. */
function own(address: string, bytes: number): string {
  return `<${address}>`.repeat(Math.ceil(bytes / (address.length + 2))).slice(0, bytes);
}

/** Sends back whose request it was and as many bytes, and breaks off itself when it is asked to. */
function echo(connection: RecordedConnection, { head }: SeenRequest): void {
  const bytes = Number(valuesIn(head, 'x-bytes')[0]);
  const body = own(valuesIn(head, 'x-forwarded-for')[0] ?? '', bytes);
  const breakAt = Number(valuesIn(head, 'x-break')[0]);
  const length = `Content-Length: ${bytes}\r\n`;
  const framed = `HTTP/1.1 200 OK\r\n${length}\r\n${body}`;
  if (Number.isNaN(breakAt)) return connection.say(framed);
  connection.say(framed.slice(0, breakAt));
  connection.socket.resetAndDestroy();
}

interface Plan {
  readonly requests: readonly string[];
  /** Bytes after which the visitor breaks off; undefined: he does not. */
  readonly leaveAfterSent: number | undefined;
  readonly leaveAfterReceived: number | undefined;
}

function planOf(random: SeededRandom, address: string): Plan {
  const requests = Array.from({ length: 1 + random.below(3) }, () => {
    const target = random.chance(0.3) ? '/early' : '/late';
    const lines = [`X-Bytes: ${random.below(BODY_BYTES_MAX)}`];
    if (random.chance(0.1)) lines.push(`X-Break: ${random.below(BODY_BYTES_MAX)}`);
    const body = own(address, random.chance(0.3) ? 0 : 1 + random.below(BODY_BYTES_MAX));
    if (body === '') return get(target, ...lines);
    if (random.chance(0.5)) {
      return request('POST', target, ...lines, `Content-Length: ${body.length}`) + body;
    }
    const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    return request('POST', target, ...lines, 'Transfer-Encoding: chunked') + chunks;
  });
  const how = random.below(3);
  return {
    requests,
    leaveAfterSent: how === 0 ? random.below(requests.join('').length) : undefined,
    leaveAfterReceived: how === 1 ? random.below(BODY_BYTES_MAX) : undefined,
  };
}

async function round(vendor: AttackedVendor, random: SeededRandom): Promise<RawVisitor> {
  const visitor = await RawVisitor.dial(vendor);
  const { requests, leaveAfterSent, leaveAfterReceived } = planOf(random, visitor.address);
  const bytes = requests.join('');
  visitor.say(bytes.slice(0, leaveAfterSent));
  await nextTurn();
  if (leaveAfterSent === undefined) {
    const enough = leaveAfterReceived ?? Number.POSITIVE_INFINITY;
    const done = () =>
      visitor.ending !== undefined ||
      visitor.bytes.length >= enough ||
      visitor.finals().filter(({ whole }) => whole).length === requests.length;
    await visitor.watch.until(done, 'answers, or enough of them');
  } else if (random.chance(0.5)) {
    // Half of them give the workspace time to answer.
    await vendor.figure('relay', 'waygate_streams');
  }
  visitor.socket.destroy();
  return visitor;
}

function judgeVisitor(visitor: RawVisitor): number {
  const answers = visitor.finals();
  for (const { status, body } of answers) {
    if (status === 200) expect(body).toBe(own(visitor.address, body.length));
    else expect([status, body.includes('<127.')]).toEqual([502, false]);
  }
  return answers.length;
}

function judgeWorkspace(vendor: AttackedVendor): {
  readonly whole: number;
  readonly broken: number;
} {
  const counts = { whole: 0, broken: 0 };
  for (const { requests, visitor } of vendor.workspace.connections) {
    for (const { head, body, whole } of requests) {
      expect(valuesIn(head, 'x-forwarded-for')).toEqual([visitor]);
      expect(body).toBe(own(visitor, body.length));
      const length = Number(valuesIn(head, 'content-length')[0] ?? body.length);
      if (whole) expect(body.length).toBe(length);
      counts[whole ? 'whole' : 'broken'] += 1;
    }
    // What is not whole is the last thing on its connection.
    expect(requests.slice(0, -1).every(({ whole }) => whole)).toBe(true);
  }
  return counts;
}

/** So many visits, some side by side, each judged by itself and all by what the workspace has seen. */
export async function breakOff(
  vendor: AttackedVendor,
  { seed, rounds }: { readonly seed: number; readonly rounds: number },
): Promise<void> {
  const { workspace } = vendor;
  workspace.connections.length = 0;
  workspace.plays.set('/early', { head: echo });
  workspace.plays.set('/late', { whole: echo });
  const random = new SeededRandom(seed);
  let answers = 0;
  const each = Array.from({ length: rounds }).keys();
  const pairs = Array.from({ length: AT_A_TIME }, async () => {
    for (const _ of each) {
      const visitor = await round(vendor, random);
      answers += judgeVisitor(visitor);
    }
  });
  await Promise.all(pairs);
  const idle = () => workspace.connections.every(({ closed }) => closed);
  await workspace.watch.until(idle, 'the end of all links');
  const { whole, broken } = judgeWorkspace(vendor);
  expect(answers).toBeGreaterThan(rounds);
  expect(whole).toBeGreaterThan(rounds / 2);
  expect(broken).toBeGreaterThan(rounds / 20);
  expect(await vendor.figure('relay', 'waygate_streams')).toBe(0);
  expect(await vendor.figure('relay', 'waygate_entrance_open_requests')).toBe(0);
  expect(await vendor.alive()).toBe(true);
}
