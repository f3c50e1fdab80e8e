// The same questions to our name server and to a real Knot with the same zone: the verdicts must be
// the same. `dig` asks and reads, so that neither side is judged by our own decoder.
import { decode, type Packet } from 'dns-packet';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NameServer } from '../../dns/server.ts';
import { ZoneTransfers } from '../../dns/transfer.ts';
import { DEFAULT_TRANSFER_LIMITS } from '../../dns/transfer-settings.ts';
import { TsigKeys } from '../../dns/tsig-key.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { type DigAnswer, dig } from '../world/dig.ts';
import { askAllByUdp } from '../world/dns-client.ts';
import { KnotServer } from '../world/knot-server.ts';
import { SeededRandom } from '../world/random.ts';
import { requires } from '../world/requires.ts';
import { PROBE_ZONE, probeZone } from './probe-zone.ts';
import { RandomQuestions } from './random-questions.ts';

const need = requires('dig', 'knotd');

/** Name of the probe, what dig is told; without `+nocookie` dig sends one. */
type Probe = readonly [name: string, ...args: string[]];

const SOA = ['vendor.test', 'SOA'];

/** The 21 of the survey: what resolvers, registries and certificate authorities rely on. */
const SURVEY: readonly Probe[] = [
  ['1 no EDNS', '+noedns', ...SOA],
  ['2 EDNS', '+edns=0', '+nocookie', ...SOA],
  ['3 RFC 6891: BADVERS', '+edns=1', '+noednsneg', '+nocookie', ...SOA],
  ['4 RFC 6891: unknown option', '+edns=0', '+ednsopt=100', '+nocookie', ...SOA],
  ['5 RFC 6891: unknown flag', '+edns=0', '+ednsflags=0x80', '+nocookie', ...SOA],
  ['6 RFC 4035: DO is echoed', '+dnssec', '+nocookie', ...SOA],
  ['7 RFC 7873: cookie', '+cookie', ...SOA],
  ['8 RFC 3597: unknown type', '+nocookie', 'vendor.test', 'TYPE1000'],
  ['9 CAA at a device', '+nocookie', 'dev1.vendor.test', 'CAA'],
  ['10 type 65', '+nocookie', 'dev1.vendor.test', 'TYPE65'],
  ['11 NXDOMAIN', '+nocookie', 'nope.vendor.test', 'A'],
  ['12 NODATA', '+nocookie', 'ns1.vendor.test', 'AAAA'],
  ['14 outside', '+nocookie', 'example.org', 'A'],
  ['15 unknown opcode', '+opcode=15', '+nocookie', ...SOA],
  ['17 NOTIFY', '+opcode=4', '+nocookie', ...SOA],
  ['18 version.bind', '+nocookie', 'version.bind', '-c', 'CH', '-t', 'TXT'],
  ['19 TCP', '+tcp', '+nocookie', 'dev1.vendor.test', 'A'],
  ['20 letter case', '+nocookie', 'DeV1.VenDor.TeSt', 'A'],
  ['21 header only', '+header-only', '+nocookie'],
];

const NAMES_AND_TYPES: readonly (readonly [name: string, question: string])[] = [
  ['a device', 'alice A'],
  ['a device, IPv6', 'alice AAAA'],
  ['a device, HTTPS through its CNAME', 'alice HTTPS'],
  ['a device, TXT: NODATA behind the CNAME', 'alice TXT'],
  ['a device, CNAME itself', 'alice CNAME'],
  ['a workspace by wildcard', 'code.alice A'],
  ['a wildcard reaches any depth', 'x.y.z.alice AAAA'],
  ['a wildcard and MX', 'code.alice MX'],
  ['RFC 4592: the wildcard itself, literally', '*.alice A'],
  ['RFC 4592: below a literal wildcard', 'x.*.alice A'],
  ['RFC 4592: an empty non-terminal', 'ws.dev1 A'],
  ['RFC 4592: an empty non-terminal, other type', 'ws.dev1 TXT'],
  ['RFC 4592: below an empty non-terminal no wildcard counts', 'x.ws.dev1 A'],
  ['RFC 4592: beside the empty non-terminal', 'other.dev1 A'],
  ['RFC 4592: deep beside', 'a.b.dev1 A'],
  ['RFC 4592: inner empty non-terminals', 'c.dev1 A'],
  ['RFC 4592: inner empty non-terminals, second', 'b.c.dev1 A'],
  ['RFC 4592: the leaf of them', 'a.b.c.dev1 A'],
  ['RFC 4592: a sibling of the leaf', 'x.b.c.dev1 A'],
  ['RFC 4592: wildcard NODATA', 'other.dev1 AAAA'],
  ['RFC 4592: the wildcard does not match its parent', 'dev1 TXT'],
  ['ACME: a challenge', '_acme-challenge.bob TXT'],
  ['ACME: a challenge of a workspace', '_acme-challenge.code.bob TXT'],
  ['ACME: the workspace while its challenge stands', 'code.bob A'],
  ['ACME: CAA of that workspace', 'code.bob CAA'],
  ['ACME: another workspace meanwhile', 'web.bob A'],
  ['ACME: no challenge at a wildcard', '_acme-challenge.web.bob TXT'],
  ['ACME: below the explicit workspace', 'x.code.bob A'],
  ['LAN address', 'lan.bob A'],
  ['LAN address, no IPv6', 'lan.bob AAAA'],
  ['an own domain', 'x7f3.to A'],
  ['an own domain, no CAA', 'x7f3.to CAA'],
  ['an own domain, proof', '_waygate.x7f3.to TXT'],
  ['an own domain, unknown', 'zzz.to A'],
  ['the empty non-terminal of own domains', 'to NS'],
  ['a chain of two CNAMEs', 'y8.to A'],
  ['RFC 6604: a CNAME to nothing', 'broken.odd A'],
  ['a CNAME to NODATA', 'nodata.odd AAAA'],
  ['a CNAME out of the zone', 'out.odd A'],
  ['RFC 3597: generic data', 'generic.odd TYPE1000'],
  ['the longest label', `${'l'.repeat(63)}.odd A`],
  ['two strings in a TXT', 'text.odd TXT'],
  ['DS at the apex', '@ DS'],
  ['DS below', 'dev1 DS'],
  ['NS below', 'dev1 NS'],
  ['NS with glue', '@ NS'],
  ['CAA of the zone', '@ CAA'],
  ['MX of the zone', '@ MX'],
  ['SOA below the apex', 'dev1 SOA'],
  ['SOA of what does not exist', 'nope SOA'],
  ['RFC 9156: a minimised question', 'ns2 NS'],
  ['a label with a space', 'a\\032b A'],
  ['a label with a dot in it', 'a\\.b.dev1 A'],
  ['a label with a byte that is no ASCII', '\\200\\255.dev1 A'],
  ['HTTPS of the edge', 'edge HTTPS'],
  ['RRSIG, unsigned', 'dev1 RRSIG'],
  ['DNSKEY, unsigned', '@ DNSKEY'],
  ['RFC 4035, 2.5: RRSIG is not looked for behind a CNAME', 'alice RRSIG'],
  ['RFC 4035, 2.5: nor NSEC', 'code.bob NSEC'],
];

const MORE: readonly Probe[] = [
  ...NAMES_AND_TYPES.map(([name, question]): Probe => {
    const [owner = '', type = ''] = question.split(' ');
    const asked = owner === '@' ? 'vendor.test' : `${owner}.vendor.test`;
    return [name, '+nocookie', asked, type];
  }),
  ['the root', '+nocookie', '.', 'NS'],
  ['the parent', '+nocookie', 'test', 'SOA'],
  ['a sibling with the zone as its end', '+nocookie', 'notvendor.test', 'A'],
  ['class HS', '+nocookie', '-c', 'HS', 'dev1.vendor.test', 'A'],
  ['truncation without EDNS', '+noedns', '+ignore', 'mid.odd.vendor.test', 'TXT'],
  ['fits with EDNS', '+nocookie', 'mid.odd.vendor.test', 'TXT'],
  ['truncation at 1232', '+nocookie', '+bufsize=4096', '+ignore', 'big.odd.vendor.test', 'TXT'],
  [
    'truncation at 512 and below',
    '+nocookie',
    '+bufsize=100',
    '+ignore',
    'mid.odd.vendor.test',
    'TXT',
  ],
  ['truncated with DO', '+dnssec', '+nocookie', '+ignore', 'big.odd.vendor.test', 'TXT'],
  ['and by TCP', '+tcp', '+nocookie', 'big.odd.vendor.test', 'TXT'],
  ['AD and CD in the question', '+adflag', '+cdflag', '+nocookie', ...SOA],
  ['Z in the question', '+zflag', '+nocookie', ...SOA],
  ['AA and TC in the question', '+aaflag', '+tcflag', '+nocookie', ...SOA],
  ['NSID asked for', '+nsid', '+nocookie', ...SOA],
  ['client subnet', '+subnet=192.0.2.0/24', '+nocookie', ...SOA],
  ['padding', '+padding=128', '+nocookie', '+tcp', ...SOA],
  ['NOTIFY without EDNS', '+opcode=4', '+noedns', ...SOA],
  ['RFC 3225: DO is echoed with NOTAUTH', '+opcode=4', '+dnssec', '+nocookie', ...SOA],
  ['RFC 3225: DO is echoed with NOTIMP', '+opcode=2', '+dnssec', '+nocookie', ...SOA],
  ['RFC 3225: DO is echoed with REFUSED', '+dnssec', '+nocookie', 'example.org', 'A'],
  ['NOTIFY, EDNS 1', '+opcode=4', '+edns=1', '+noednsneg', '+nocookie', ...SOA],
  ['unknown opcode, EDNS 1', '+opcode=15', '+edns=1', '+noednsneg', '+nocookie', ...SOA],
  ['half a cookie', '+ednsopt=10:0102', '+nocookie', ...SOA],
  ['half a cookie in EDNS 1', '+edns=1', '+noednsneg', '+ednsopt=10:0102', '+nocookie', ...SOA],
  ['opcode IQUERY', '+opcode=1', '+nocookie', ...SOA],
  ['opcode STATUS', '+opcode=2', '+nocookie', ...SOA],
  ['opcode DSO', '+opcode=6', '+nocookie', ...SOA],
  ['a loop of CNAMEs', '+nocookie', 'loop1.odd.vendor.test', 'A'],
  ['type 0', '+nocookie', 'vendor.test', 'TYPE0'],
  ['type OPT', '+nocookie', 'vendor.test', 'TYPE41'],
  ['type TKEY', '+nocookie', 'vendor.test', 'TYPE249'],
  ['type TSIG', '+nocookie', 'vendor.test', 'TYPE250'],
  ['type MAILA', '+nocookie', 'vendor.test', 'TYPE254'],
  ['type MAILB', '+nocookie', 'vendor.test', 'TYPE253'],
  ['a type of questions only', '+nocookie', 'vendor.test', 'TYPE128'],
  ['a cookie that is no good', '+cookie=0102030405060708090a0b0c0d0e0f101112131415161718', ...SOA],
];

const servers: { ours?: NameServer; knot?: KnotServer } = {};

describe.skipIf(need.skip)('beside Knot, with the same zone', () => {
  beforeAll(async () => {
    const source = new MemoryZone(probeZone());
    servers.ours = serverOf(source);
    await servers.ours.start();
    servers.knot = await KnotServer.start(source.zone);
  });

  afterAll(async () => {
    await servers.ours?.stop();
    await servers.knot?.[Symbol.asyncDispose]();
  });

  test.each([...SURVEY, ...MORE])('%s', async (...[, ...args]) => {
    const { ours, knots } = await askBoth(args);
    expect(ours).toEqual(knots);
  });

  // Which set is the server's choice (RFC 8482, section 4.1).
  test.each(['vendor.test', 'dev1.vendor.test', 'alice.vendor.test', 'edge.vendor.test'])(
    '13 ANY at %s: one set of its records, and nothing else',
    async (name) => {
      const { ours, knots } = await askBoth(['+nocookie', name, 'ANY', '+notcp']);
      const types = (answer: DigAnswer | undefined): number =>
        new Set(answer?.answer.map((line) => line.split(' ')[3])).size;
      expect(types(ours)).toBe(1);
      expect(types(knots)).toBe(1);
      expect({ ...ours, answer: [] }).toEqual({ ...knots, answer: [] });
    },
  );

  test('thousands of questions at random', async () => {
    const { ours, knot } = servers;
    const place = ours?.places[0];
    if (place === undefined || knot === undefined) throw new Error('The servers did not start.');
    const owners = [...probeZone().records()].map(({ owner }) => owner);
    const random = new SeededRandom(Date.now());
    const questions = new RandomQuestions(random, PROBE_ZONE, owners);
    const asked = Array.from({ length: 3_000 }, (_, id) => questions.next(id));
    const [our, their] = [await askAllByUdp(place, asked), await askAllByUdp(knot, asked)];
    for (const [id, question] of asked.entries()) {
      const words = `seed ${random.seed}: ${question.toString('hex')}`;
      expect(verdictOf(our[id] ?? NOTHING), words).toEqual(verdictOf(their[id] ?? NOTHING));
    }
  });

  test('RFC 7873, 5.4: a cookie without a question, which Knot does not offer', async () => {
    const { ours } = await askBoth(['+header-only', '+cookie']);
    expect(ours).toMatchObject({ status: 'NOERROR', question: [], answer: [], cookie: 'good' });
    const old = '+cookie=0102030405060708010000006000000001020304050607aa';
    const wrong = (await askBoth(['+header-only', old, '+nobadcookie'])).ours;
    expect(wrong).toMatchObject({ status: 'BADCOOKIE', question: [], answer: [] });
  });

  test('16 UPDATE is not offered: NOTIMP, where Knot, which could, says NOTAUTH', async () => {
    const { ours, knots } = await askBoth(['+nocookie', '+opcode=5', ...SOA]);
    expect(knots?.status).toBe('NOTAUTH');
    expect(ours).toEqual({ ...knots, status: 'NOTIMP' });
  });
});

/** As the program has it: what is special goes to transfers. */
function serverOf(source: MemoryZone): NameServer {
  const transfers: ZoneTransfers = new ZoneTransfers({
    source,
    keys: new TsigKeys([]),
    secondaries: [],
    limits: DEFAULT_TRANSFER_LIMITS,
    answer: (question, asker) => server.answer(question, asker),
    log: pino({ level: 'silent' }),
  });
  const listen = [{ address: '127.0.0.1', port: 0 }];
  const server = new NameServer({
    listen,
    source,
    special: transfers.special,
    responsesPerSecond: 0,
  });
  return server;
}

const NOTHING = Buffer.alloc(12);

/** What two right answers have in common. Reasons in words (RFC 8914) are Knot's alone. */
function verdictOf(answer: Buffer): unknown {
  const { questions, answers, authorities, additionals = [], ...head }: Packet = decode(answer);
  const sorted = (records: readonly unknown[] = []): string[] =>
    records.map((each) => JSON.stringify(each).toLowerCase()).sort();
  return {
    ...head,
    questions,
    answers: sorted(answers),
    authorities: sorted(authorities),
    additionals: sorted(
      additionals.map((each) => (each.type === 'OPT' ? { ...each, options: [] } : each)),
    ),
  };
}

async function askBoth(
  args: readonly string[],
): Promise<{ ours: DigAnswer | undefined; knots: DigAnswer | undefined }> {
  const place = servers.ours?.places[0];
  const { knot } = servers;
  if (place === undefined || knot === undefined) throw new Error('The servers did not start.');
  const [ours, knots] = await Promise.all([dig(place, args), dig(knot, args)]);
  expect(ours).toBeDefined();
  return { ours, knots };
}
