import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeName } from '../../dns/domain-name.ts';
import { askByUdp, makeQuestion } from '../../dns/exchange.ts';
import { layoutOf } from '../../dns/message-layout.ts';
import { TYPE } from '../../dns/record.ts';
import { signRequest, wallClock } from '../../dns/tsig.ts';
import { makeTsigKey, type TsigKey } from '../../dns/tsig-key.ts';
import { HiddenPrimary, settingOf, TEST_KEY } from '../world/hidden-primary.ts';
import { NAME_SERVER_SECRET } from '../world/public-name-server.ts';
import { requires } from '../world/requires.ts';
import { plainDevice, VENDOR_ZONE, vendorZone } from '../world/vendor-zone.ts';
import { until } from '../world/visits.ts';
import { serialOf } from '../world/zone-serial.ts';

const need = requires('dig', 'kdig', 'drill');
const run = promisify(execFile);
setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');
const APEX = encodeName(VENDOR_ZONE) ?? Buffer.of(0);
const DEVICES = 2_000;
/** SOA twice, two NS, A, CAA, four of the edge, two of the servers; two of each device. */
const RECORDS = 12 + 2 * DEVICES;

let primary: HiddenPrimary;
beforeAll(async () => {
  primary = await HiddenPrimary.start(vendorZone(DEVICES), { transfers: { progressMs: 500 } });
});
afterAll(() => primary?.[Symbol.asyncDispose]());

describe.skipIf(need.skip)('programs that are not ours', { timeout: 30_000 }, () => {
  it('dig of BIND verifies every message of an AXFR', async () => {
    const { stdout } = await tool('dig', [...DIG_KEY, VENDOR_ZONE, 'AXFR']);
    expect(stdout).toMatch(new RegExp(`XFR size: ${RECORDS} records`));
    expect(stdout).not.toMatch(/[Cc]ould|fail|WARN/);
    expect(stdout.match(/TSIG/g)?.length).toBeGreaterThan(2);
  });

  it('kdig of Knot verifies every message of an AXFR', async () => {
    const { stdout } = await tool('kdig', [...DIG_KEY, VENDOR_ZONE, 'AXFR']);
    expect(stdout).toMatch(new RegExp(`Received \\d+ B \\(\\d+ messages, ${RECORDS} records\\)`));
    expect(stdout).not.toMatch(/;; (WARNING|ERROR)/);
  });

  it('drill of ldns gets an AXFR and verifies an answer', async () => {
    const key = `ns1-key:${NAME_SERVER_SECRET}:hmac-sha256.`;
    const { stdout } = await tool('drill', ['-y', key, VENDOR_ZONE, 'SOA']);
    expect(stdout).toMatch(/rcode: NOERROR/);
    expect(stdout).not.toMatch(/BADSIG|could not verify/i);
  });

  it('a wrong secret is told as such: NOTAUTH, BADSIG', async () => {
    const secret = Buffer.alloc(32, 'another').toString('base64');
    const args = ['-y', `hmac-sha256:ns1-key:${secret}`, VENDOR_ZONE, 'SOA'];
    const { stdout, stderr } = await tool('dig', args);
    expect(stdout + stderr).toMatch(/NOTAUTH[\s\S]*BADSIG/);
  });

  it('IXFR: the difference, the single SOA when nothing is new, all when it is unknown', async () => {
    const { serial } = primary.source.zone;
    primary.source.apply([plainDevice('newcomer')]);
    const change = await tool('dig', [
      ...DIG_KEY,
      VENDOR_ZONE,
      `IXFR=${serial}`,
      '+noall',
      '+answer',
    ]);
    expect(linesOf(change.stdout)).toHaveLength(6);
    const same = await tool('dig', [
      ...DIG_KEY,
      VENDOR_ZONE,
      `IXFR=${serial + 1}`,
      '+noall',
      '+answer',
    ]);
    expect(linesOf(same.stdout)).toHaveLength(1);
    const newer = await tool('dig', [
      ...DIG_KEY,
      VENDOR_ZONE,
      `IXFR=${serial + 9}`,
      '+noall',
      '+answer',
    ]);
    expect(linesOf(newer.stdout)).toHaveLength(1);
    const all = await tool('dig', [
      ...DIG_KEY,
      VENDOR_ZONE,
      'IXFR=4000000000',
      '+noall',
      '+answer',
    ]);
    expect(linesOf(all.stdout)).toHaveLength(RECORDS + 2);
  });
});

describe('who asks for the zone', () => {
  it('by IXFR over UDP gets the single SOA, signed (RFC 1995)', async () => {
    const signed = signRequest(ixfrFrom(0), TEST_KEY, wallClock);
    const accept = (answer: Buffer) => signed.verifyAnswer(answer);
    const { layout } = await askUdp(signed.message, accept);
    expect(layout.records.map(({ type }) => type)).toEqual([TYPE.SOA, TYPE.TSIG]);
  });

  it.each([
    ['AXFR over UDP', makeQuestion(APEX, TYPE.AXFR), 1],
    ['another zone', makeQuestion(encodeName('other.example') ?? APEX, TYPE.AXFR), 9],
    [
      'a name below the apex',
      makeQuestion(encodeName(`edge.${VENDOR_ZONE}`) ?? APEX, TYPE.AXFR),
      9,
    ],
    ['IXFR without its SOA', makeQuestion(APEX, TYPE.IXFR), 1],
  ])('wrongly (%s) is told so, signed', async (_, question, rcode) => {
    const signed = signRequest(question, TEST_KEY, wallClock);
    const { layout } = await askUdp(signed.message, signed.verifyAnswer);
    expect(layout.rcode).toBe(rcode);
  });

  it.each([
    ['unsigned', undefined, 5],
    [
      'a key that is not known',
      makeTsigKey({ ...TEST_KEY, name: 'other', secret: Buffer.alloc(32) }),
      9,
    ],
    ['another secret', makeTsigKey({ ...TEST_KEY, secret: Buffer.alloc(32) }), 9],
  ])('without the right key (%s) is refused', async (_, key, rcode) => {
    for (const question of [makeQuestion(APEX, TYPE.AXFR), ixfrFrom(0)]) {
      const { layout } = await askUdp(signedOr(question, key));
      expect(layout.rcode).toBe(rcode);
      // EDNS is answered with EDNS (RFC 6891, section 6.1.1), whatever is said.
      const asked = layoutOf(question)?.records.filter(({ type }) => type === TYPE.OPT) ?? [];
      const types = layout.records.map(({ type }) => type).filter((type) => type !== TYPE.TSIG);
      expect(types).toEqual(asked.map(({ type }) => type));
      const [answer] = await askTcp(signedOr(question, key), 1);
      expect(layoutOf(answer ?? Buffer.alloc(0))?.rcode).toBe(rcode);
    }
  });

  it('with a request of ten minutes ago is refused: BADTIME', async () => {
    const replayed = signRequest(ixfrFrom(0), TEST_KEY, () => wallClock() - 600).message;
    const { layout } = await askUdp(replayed);
    expect(layout.rcode).toBe(9);
  });

  it('with any byte changed gets not one record', async () => {
    const { message } = signRequest(ixfrFrom(0), TEST_KEY, wallClock);
    using socket = await tcp();
    const answers: Buffer[] = [];
    collect(socket, answers);
    const changed = [...message.keys()].slice(2).map((index) => {
      const copy = Buffer.from(message);
      copy[index] = (copy[index] ?? 0) ^ 0x01;
      return copy;
    });
    for (const each of changed) socket.write(framed(each));
    socket.write(framed(makeQuestion(APEX, TYPE.SOA)));
    await until(() => answers.some((each) => each.readUInt16BE(6) === 1), 5_000, 'the last answer');
    const withRecords = answers.filter((each) => each.readUInt16BE(6) > 0);
    expect(withRecords).toHaveLength(1);
    expect(answers.length).toBeGreaterThan(100);
  });

  it('from an address that is not his is refused', async () => {
    await primary.serve([{ ...settingOf('far', 53, false), transferFrom: ['192.0.2.0/24'] }]);
    const signed = signRequest(ixfrFrom(0), TEST_KEY, wallClock);
    const { layout } = await askUdp(signed.message, signed.verifyAnswer);
    expect(layout.rcode).toBe(5);
    await primary.serve([{ ...settingOf('near', 53, false), transferFrom: ['127.0.0.0/8'] }]);
    expect((await askUdp(signRequest(ixfrFrom(0), TEST_KEY, wallClock).message)).layout.rcode).toBe(
      0,
    );
  });
});

describe('a secondary that takes no more', { timeout: 30_000 }, () => {
  it('holds up nobody, costs no memory, and is cut', async () => {
    await using large = await HiddenPrimary.start(vendorZone(150_000), {
      transfers: { progressMs: 1_000 },
    });
    await large.serve([settingOf('slow', 53, false), { ...settingOf('other', 53, false) }]);
    const before = heldBytes();
    using slow = await tcp(large.port);
    slow.pause();
    slow.write(framed(signRequest(makeQuestion(APEX, TYPE.AXFR), TEST_KEY, wallClock).message));
    await until(() => large.transfers.running === 1, 5_000, 'the transfer to begin');
    const answerMs: number[] = [];
    let mostBytes = 0;
    while (large.transfers.running > 0) {
      const startedMs = performance.now();
      expect(await serialOf(large)).toBe(1);
      answerMs.push(performance.now() - startedMs);
      if (answerMs.length % 100 === 0) mostBytes = Math.max(mostBytes, heldBytes() - before);
    }
    expect(large.transfers.counts.failed).toBe(1);
    expect(Math.max(...answerMs)).toBeLessThan(1_000);
    // The zone is 6.5 MB in messages; of those a few wait for the socket, and the kernel has others.
    expect(answerMs.length).toBeGreaterThan(100);
    expect(mostBytes).toBeLessThan(1024 * 1024);
    await ended(slow);
  });

  it('cannot take the places of others, however often it begins', async () => {
    await using bounded = await HiddenPrimary.start(vendorZone(60_000), {
      transfers: { progressMs: 20_000, transfersPerSecondaryMax: 2 },
    });
    const sockets = await Promise.all(Array.from({ length: 4 }, () => tcp(bounded.port)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(framed(signRequest(makeQuestion(APEX, TYPE.AXFR), TEST_KEY, wallClock).message));
    }
    await until(() => bounded.transfers.counts.busy === 2, 5_000, 'two to be told to come later');
    expect(bounded.transfers.running).toBe(2);
    for (const socket of sockets) socket.destroy();
    await until(() => bounded.transfers.running === 0, 5_000, 'the places to be free again');
  });
});

/** What buffers hold that are still used. */
function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

const DIG_KEY = ['-y', `hmac-sha256:ns1-key:${NAME_SERVER_SECRET}`];

function tool(program: string, args: readonly string[]) {
  const port = `${primary.port}`;
  const where = program === 'drill' ? ['-p', port, '@127.0.0.1'] : ['@127.0.0.1', '-p', port];
  return run(program, [...where, ...args], { maxBuffer: 64 * 1024 * 1024 });
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(';') && !/TSIG/.test(line));
}

/** With the SOA of its sender in the authority section; only the serial in it counts. */
function ixfrFrom(serial: number): Buffer {
  const question = makeQuestion(APEX, TYPE.IXFR);
  const bare = question.subarray(0, 12 + APEX.length + 4);
  bare.writeUInt16BE(1, 8);
  bare.writeUInt16BE(0, 10);
  const data = Buffer.alloc(22);
  data.writeUInt32BE(serial, 2);
  const soa = Buffer.from([0xc0, 0x0c, 0, TYPE.SOA, 0, 1, 0, 0, 0, 0, 0, data.length]);
  return Buffer.concat([bare, soa, data]);
}

function signedOr(question: Buffer, key: TsigKey | undefined): Buffer {
  return key === undefined ? question : signRequest(question, key, wallClock).message;
}

function askUdp(
  message: Buffer,
  accept: (answer: Buffer) => ReturnType<typeof layoutOf> = layoutOf,
) {
  return askByUdp(message, primary, { signal: AbortSignal.timeout(5_000), accept });
}

async function askTcp(message: Buffer, count: number): Promise<Buffer[]> {
  using socket = await tcp();
  const answers: Buffer[] = [];
  collect(socket, answers);
  socket.write(framed(message));
  await until(() => answers.length >= count, 5_000, 'answers over TCP');
  return answers;
}

async function tcp(port = primary.port): Promise<Socket & Disposable> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return Object.assign(socket, { [Symbol.dispose]: () => socket.destroy() });
}

function framed(message: Buffer): Buffer {
  return Buffer.concat([Buffer.of(message.length >> 8, message.length & 0xff), message]);
}

function collect(socket: Socket, answers: Buffer[]): void {
  let bytes = Buffer.alloc(0);
  socket.on('data', (piece: Buffer) => {
    bytes = Buffer.concat([bytes, piece]);
    while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
      const end = 2 + bytes.readUInt16BE(0);
      answers.push(bytes.subarray(2, end));
      bytes = bytes.subarray(end);
    }
  });
}

/** Reads what is left until the other side has cut the connection. */
async function ended(socket: Socket): Promise<void> {
  const closed = once(socket, 'close');
  socket.resume();
  await closed;
}
