// Mutated packets against the name server's path from bytes to bytes. Whatever comes, nothing throws,
// and what is answered is a whole message, for this question, no longer than the asker takes.
import { decode } from 'dns-packet';
import { makeCounters } from '../../dns/counters.ts';
import { gate } from '../../dns/gate.ts';
import { Responder } from '../../dns/responder.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { SeededRandom } from '../world/random.ts';
import { MALFORMED, SOUND } from './malformed.ts';
import { message, opt, option, wireName } from './messages.ts';
import { changesOf, PROBE_ZONE, probeZone } from './probe-zone.ts';

const NAMES = [
  'alice',
  'code.alice',
  'bob',
  'ws.dev1',
  'x.ws.dev1',
  'nope',
  'big.odd',
  'loop1.odd',
];
const TYPES = [1, 2, 5, 6, 16, 28, 43, 65, 251, 252, 255, 257, 1000];

const SEEDS: readonly Buffer[] = [
  ...SOUND.map(([, bytes]) => bytes),
  ...MALFORMED.map(([, bytes]) => bytes).filter((bytes) => bytes.length < 600),
  ...NAMES.flatMap((name) =>
    TYPES.map((type) => message({ name: wireName(`${name}.vendor.test`), type, rest: opt() })),
  ),
  message({ rest: opt(option(10, Buffer.from('0102030405060708', 'hex'))) }),
];

const WORDS = [0, 1, 2, 12, 41, 250, 255, 256, 0xc00c, 0xffff];

export interface FuzzFigures {
  readonly packets: number;
  readonly answered: number;
  /** By RCODE. */
  readonly rcodes: Readonly<Record<number, number>>;
  readonly slowestUs: number;
  readonly meanUs: number;
}

/** Throws an Error that has the packet in it, as hex, with the seed. */
export function fuzzPackets(packets: number, seed: number): FuzzFigures {
  const random = new SeededRandom(seed);
  const source = new MemoryZone(probeZone());
  const counters = makeCounters();
  const responder = new Responder({ source, counters, responsesPerSecond: 0, cacheBytes: 1 << 20 });
  const rcodes: Record<number, number> = {};
  let answered = 0;
  let slowestUs = 0;
  let totalUs = 0;
  for (let index = 0; index < packets; index += 1) {
    // The zone changes all the while, so that caches are used and emptied.
    if (index % 1_000 === 0) source.apply(changesOf(PROBE_ZONE, { alice: 'device' }));
    const bytes = mutate(random);
    const udp = random.chance(0.8);
    try {
      const run = (): Buffer => respond(responder, bytes, udp);
      const { answer, us } = timed(run);
      totalUs += us;
      // A pause of the machine hits once; a costly packet is costly again.
      const costUs =
        us < 500 ? us : Math.min(us, ...Array.from({ length: 5 }, () => timed(run).us));
      slowestUs = Math.max(slowestUs, costUs);
      if (answer.length === 0) continue;
      answered += 1;
      judge(bytes, answer, udp);
      const rcode = answer.readUInt16BE(2) & 0xf;
      rcodes[rcode] = (rcodes[rcode] ?? 0) + 1;
    } catch (error) {
      throw new Error(`Seed ${seed}, packet ${index}: ${bytes.toString('hex')}`, { cause: error });
    }
  }
  return { packets, answered, rcodes, slowestUs, meanUs: totalUs / packets };
}

function respond(responder: Responder, bytes: Buffer, udp: boolean): Buffer {
  const length = responder.prepare(bytes, gate(bytes), '192.0.2.1', udp ? 'udp' : 'tcp');
  const answer = Buffer.alloc(length);
  if (length > 0) responder.write(answer, 0);
  return answer;
}

function timed(run: () => Buffer): { readonly answer: Buffer; readonly us: number } {
  const startedMs = performance.now();
  const answer = run();
  return { answer, us: (performance.now() - startedMs) * 1000 };
}

function judge(asked: Buffer, answer: Buffer, udp: boolean): void {
  if (answer.length > (udp ? 1232 : 65_535)) throw new Error(`${answer.length} bytes`);
  if (answer.readUInt16BE(0) !== asked.readUInt16BE(0)) throw new Error('another ID');
  if ((answer.readUInt16BE(2) & 0x8000) === 0) throw new Error('no answer');
  if (answer.readUInt16BE(4) === 1) {
    const end = 12 + answer.subarray(12).indexOf(0) + 5;
    if (!answer.subarray(12, end).equals(asked.subarray(12, end)))
      throw new Error('another question');
  }
  const packet = decode(answer);
  const counts = [packet.answers, packet.authorities, packet.additionals];
  for (const [at, section] of counts.entries()) {
    if (section?.length !== answer.readUInt16BE(6 + at * 2)) throw new Error('counts that lie');
  }
}

function mutate(random: SeededRandom): Buffer {
  let bytes = Buffer.from(pick(random, SEEDS));
  for (let left = random.below(4); left > 0 && bytes.length > 0; left -= 1) {
    const at = random.below(bytes.length);
    switch (random.below(7)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        bytes[at] = random.below(256);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes, Buffer.alloc(random.below(20), random.below(256))]);
        break;
      case 4:
        if (at + 2 <= bytes.length) bytes.writeUInt16BE(pick(random, WORDS), at);
        break;
      case 5:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          pick(random, SEEDS).subarray(random.below(40)),
        ]);
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(at + 1))]);
    }
  }
  return Buffer.from(bytes);
}

function pick<Value>(random: SeededRandom, values: readonly Value[]): Value {
  const value = values[random.below(values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}
