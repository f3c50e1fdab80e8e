// Questions to resolvers that behave badly: slow, silent, lying, too long. Each question ends in time, and
// what is no answer is never taken for one.
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import packet from 'dns-packet';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PublicDns } from '../../../relay/domains/public-dns.ts';

const NAME = 'app.example.org';
/** Less than a relay waits. */
const QUESTION_MS = 1_000;
const SOON = () => AbortSignal.timeout(20_000);

type Reply = (question: packet.Packet) => Buffer | undefined;

/** A resolver that answers as it is told, by UDP and by TCP. */
async function resolver(
  udp: Reply,
  questionMs = QUESTION_MS,
  tcp: Reply = udp,
): Promise<PublicDns> {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      const answer = tcp(packet.decode(data.subarray(2)));
      if (answer === undefined) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const socket = createSocket('udp4');
  socket.on('message', (message: Buffer, from: RemoteInfo) => {
    const answer = udp(packet.decode(message));
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => {
    socket.close();
    server.close();
  });
  return new PublicDns([{ host: '127.0.0.1', port }], questionMs);
}

function reply(
  question: packet.Packet,
  answers: packet.Answer[],
  flags: number = packet.RECURSION_AVAILABLE,
): Buffer {
  const { id = 0, questions = [] } = question;
  return packet.encode({ type: 'response', id, flags, questions, answers });
}

/** One HTTPS record at the name that is asked for, its RDATA in hexadecimal. */
function httpsReply(question: packet.Packet, rdata: string): Buffer {
  const bytes = reply(question, []);
  const data = Buffer.from(rdata, 'hex');
  const fixed = Buffer.from('c00c0041000100000000', 'hex');
  const length = Buffer.of(data.length >> 8, data.length & 0xff);
  bytes.writeUInt16BE(1, 6);
  return Buffer.concat([bytes, fixed, length, data]);
}

const RCODE = { servfail: 2, nxdomain: 3, notimp: 4, refused: 5 } as const;

function texts(count: number): packet.Answer[] {
  return Array.from({ length: count }, (_, at) => ({
    ...{ type: 'TXT', name: NAME, ttl: 0 },
    data: `value-${at}`,
  }));
}

describe('a question', () => {
  test.each([
    ['servfail', 'failed', /SERVFAIL/],
    ['refused', 'failed', /REFUSED/],
    ['notimp', 'failed', /failed|time/],
    ['nxdomain', 'none', /does not exist/],
  ] as const)('that is answered with %s is %s', async (rcode, kind, why) => {
    const dns = await resolver((question) => reply(question, [], RCODE[rcode]));
    const found = await dns.txt(NAME, SOON());
    expect(found).toEqual({ kind, why: expect.stringMatching(why) });
  });

  test('without such a record is none', async () => {
    const dns = await resolver((question) => reply(question, []));
    expect(await dns.addresses6(NAME, SOON())).toEqual({
      kind: 'none',
      why: 'the name has no such record',
    });
    expect(await dns.chain(NAME, SOON())).toEqual({ names: [], end: 'end' });
    expect(await dns.caa(NAME, SOON())).toEqual({ kind: 'none' });
  });

  test('A-24 with our value among thousands of others finds it', async () => {
    const all = (question: packet.Packet) => reply(question, texts(1_500));
    const dns = await resolver(
      (question) => reply(question, [], packet.TRUNCATED_RESPONSE | packet.RECURSION_AVAILABLE),
      QUESTION_MS,
      all,
    );
    const found = await dns.txt(NAME, SOON());
    const values = found.kind === 'found' ? found.values : [];
    expect(values).toHaveLength(1_500);
    expect(values).toContain('value-1499');
  });

  test('A-25 whose answer is cut off, or is no message, has failed', async () => {
    const cut = await resolver(
      (question) => reply(question, [], packet.TRUNCATED_RESPONSE | packet.RECURSION_AVAILABLE),
      QUESTION_MS,
      (question) => reply(question, texts(100)).subarray(0, 60),
    );
    expect((await cut.txt(NAME, SOON())).kind).toBe('failed');
    const rubbish = await resolver(({ id = 0 }) => {
      const bytes = Buffer.alloc(40, 0xff);
      bytes.writeUInt16BE(id);
      return bytes;
    });
    expect((await rubbish.txt(NAME, SOON())).kind).toBe('failed');
  });

  test('to a resolver that is not there, or says nothing, fails in time', async () => {
    const nobody = new PublicDns([{ host: '127.0.0.1', port: 1 }]);
    expect((await nobody.txt(NAME, SOON())).kind).toBe('failed');
    const silent = await resolver(() => undefined);
    const end = SOON();
    const found = await silent.txt(NAME, end);
    expect(found).toEqual({ kind: 'failed', why: 'there was no answer in time' });
    expect(end.aborted).toBe(false);
  });

  test('about aliases end where they are told to: what is there is not asked for', async () => {
    const asked: string[] = [];
    const dns = await resolver((question) => {
      const name = question.questions?.[0]?.name ?? '';
      asked.push(name);
      return reply(question, [{ type: 'CNAME', name, ttl: 0, data: 'Target.example.net' }]);
    });
    const chain = await dns.chain(NAME, SOON(), 'target.example.net');
    expect(chain).toEqual({ names: ['target.example.net'], end: 'end' });
    expect(asked).toEqual([NAME]);
  });

  test('A-26 to a resolver that tells of an endless chain, one answer after the other, ends', async () => {
    let asked = 0;
    const dns = await resolver((question) => {
      asked += 1;
      const name = question.questions?.[0]?.name ?? '';
      return reply(question, [{ type: 'CNAME', name, ttl: 0, data: `next-${asked}.example.org` }]);
    });
    const chain = await dns.chain(NAME, SOON());
    expect(chain.end).toBe('loop');
    expect(chain.names.length).toBe(asked);
    expect(asked).toBeLessThan(20);
  });

  test('A-27 to a resolver that lies slowly ends with the look, not with the chain', async () => {
    const look = new AbortController();
    let asked = 0;
    const dns = await resolver(() => {
      asked += 1;
      look.abort();
      return undefined;
    }, QUESTION_MS * 10);
    const chain = await dns.chain(NAME, look.signal);
    expect(chain).toEqual({ names: [], end: 'failed', why: 'there was no answer in time' });
    const late = await dns.txt(NAME, look.signal);
    expect(late.kind).toBe('failed');
    // It was not asked a second time, as one is that has lost a packet.
    expect(asked).toBe(1);
  });

  test('for HTTPS records is told what they hold, also when it is cut and asked by TCP', async () => {
    const dns = await resolver(
      (question) => reply(question, [], packet.TRUNCATED_RESPONSE | packet.RECURSION_AVAILABLE),
      QUESTION_MS,
      (question) => httpsReply(question, '00010000040004c0000209'),
    );
    expect(await dns.https(NAME, SOON())).toEqual({
      kind: 'found',
      values: [
        {
          ...{ owner: NAME, priority: 1, target: '', text: '1 . ipv4hint=192.0.2.9' },
          parameters: new Map([['ipv4hint', '192.0.2.9']]),
        },
      ],
    });
    const malformed = await resolver((question) => httpsReply(question, '00010000040003c00002'));
    expect(await malformed.https(NAME, SOON())).toEqual({
      kind: 'none',
      why: 'it is malformed',
    });
  });

  test.each([
    ['servfail', { kind: 'failed', why: 'the resolver answers with code 2' }],
    ['notimp', { kind: 'failed', why: 'the resolver answers with code 4' }],
    ['nxdomain', { kind: 'none', why: 'the name does not exist' }],
  ] as const)('for HTTPS records that is answered with %s says so', async (rcode, found) => {
    const dns = await resolver((question) => reply(question, [], RCODE[rcode]));
    expect(await dns.https(NAME, SOON())).toEqual(found);
  });

  test('for HTTPS records to whoever is silent, away or talks rubbish fails in time', async () => {
    const failed = (why: string) => ({ kind: 'failed', why });
    const silent = await resolver(() => undefined);
    expect(await silent.https(NAME, SOON())).toEqual(failed('there was no answer in time'));
    const nobody = new PublicDns([{ host: '127.0.0.1', port: 1 }]);
    expect(await nobody.https(NAME, SOON())).toEqual(failed('no resolver can be reached'));
    const rubbish = await resolver(
      (question) => reply(question, [], packet.TRUNCATED_RESPONSE),
      QUESTION_MS,
      () => Buffer.alloc(40, 0xff),
    );
    expect(await rubbish.https(NAME, SOON())).toEqual(failed('the answer was malformed'));
    const look = new AbortController();
    look.abort();
    expect(await silent.https(NAME, look.signal)).toEqual(failed('there was no answer in time'));
  });

  test('for CAA climbs to the nearest level that has records', async () => {
    const dns = await resolver((question) => {
      const name = question.questions?.[0]?.name ?? '';
      const record = { flags: 128, tag: 'issue', value: 'ca.example' } as const;
      const answers = [{ type: 'CAA', name, ttl: 0, data: record } as const];
      return reply(question, name === 'example.org' || name === 'org' ? answers : []);
    });
    expect(await dns.caa('a.b.example.org', SOON())).toEqual({
      kind: 'found',
      at: 'example.org',
      records: [{ critical: true, tag: 'issue', value: 'ca.example' }],
    });
  });

  test('for CAA that fails below the level that has records is no answer', async () => {
    const dns = await resolver((question) => {
      const name = question.questions?.[0]?.name ?? '';
      return reply(question, [], name === NAME ? RCODE.servfail : 0);
    });
    expect(await dns.caa(NAME, SOON())).toMatchObject({ kind: 'failed', at: NAME });
  });
});
