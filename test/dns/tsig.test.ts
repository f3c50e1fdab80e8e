import { describe, expect, it } from 'vitest';
import { errorAnswer, RCODE } from '../../dns/error-answer.ts';
import { layoutOf } from '../../dns/message-layout.ts';
import { type RequestVerdict, signRequest, verifyRequest } from '../../dns/tsig.ts';
import { makeTsigKey, type TsigKey, TsigKeys } from '../../dns/tsig-key.ts';
import { findTsig, type TsigRecord } from '../../dns/tsig-record.ts';
import { TSIG_VECTORS, VECTOR_KEY_NAME, VECTOR_SECONDS, VECTOR_SECRET } from './tsig-vectors.ts';

const vectors = TSIG_VECTORS.map((vector) => [vector.algorithm, vector] as const);
const SHA256 = TSIG_VECTORS.find(({ algorithm }) => algorithm === 'hmac-sha256');
const SIGNED = Buffer.from(SHA256?.request.signed ?? '', 'hex');
/** The key's name begins behind the question. */
const TSIG_START = (SHA256?.request.bare.length ?? 0) / 2;
const TSIG_TYPE_AT = TSIG_START + 22;
const MAC_SIZE_AT = TSIG_START + 22 + 10 + 13 + 8;

describe('messages that another implementation signed', () => {
  it.each(vectors)('%s: its request is good, and ours has the same bytes', (_, vector) => {
    const key = keyOf(vector.algorithm);
    const { bare, signed } = bytesOf(vector.request);
    expect(signRequest(bare, key, at(0)).message.toString('hex')).toBe(signed.toString('hex'));
    const verdict = verify(signed, key);
    expect(verdict.kind).toBe('good');
    expect(verdict.kind === 'good' && verdict.bare.equals(bare)).toBe(true);
  });

  it.each(vectors)('%s: a stream of answers has the same bytes', (_, vector) => {
    const verdict = verify(bytesOf(vector.request).signed, keyOf(vector.algorithm));
    if (verdict.kind !== 'good') throw new Error(verdict.kind);
    for (const { bare, signed } of vector.stream.map(bytesOf)) {
      expect(verdict.signer.sign(bare).toString('hex')).toBe(signed.toString('hex'));
    }
  });

  it.each(vectors)('%s: its answer to our request is verified', (_, vector) => {
    const request = signRequest(bytesOf(vector.request).bare, keyOf(vector.algorithm), at(200));
    const [first] = vector.stream.map(bytesOf);
    // The vector's request was signed at another second, so only a request of that second fits.
    expect(request.verifyAnswer(first?.signed ?? Buffer.alloc(0))).toBeUndefined();
    const fitting = signRequest(bytesOf(vector.request).bare, keyOf(vector.algorithm), at(0));
    expect(fitting.verifyAnswer(first?.signed ?? Buffer.alloc(0))?.response).toBe(true);
  });
});

describe('a request that was changed on its way', () => {
  it.each([0x01, 0x80, 0xff])('is refused, whichever byte is XORed with %i', (mask) => {
    const outcomes = [...SIGNED.keys()].map((index) => {
      const changed = Buffer.from(SIGNED);
      changed[index] = (changed[index] ?? 0) ^ mask;
      const layout = layoutOf(changed);
      return layout === undefined ? 'malformed' : verify(changed).kind;
    });
    // A forwarder may set another ID (RFC 8945, section 5.5): the first two bytes are not signed.
    expect(outcomes.slice(0, 2)).toEqual(['good', 'good']);
    // Without its type it is no TSIG record, so the request is an unsigned one, which gets nothing.
    const passed = [...outcomes.keys()].filter((index) => outcomes[index] === 'unsigned');
    expect(passed).toEqual([TSIG_TYPE_AT, TSIG_TYPE_AT + 1]);
    expect(outcomes.slice(2)).not.toContain('good');
  });

  it('is good when only the letter case of the key differs: names compare without it', () => {
    const changed = Buffer.from(SIGNED);
    changed.write('TRANSFER', TSIG_START + 1, 'latin1');
    expect(verify(changed).kind).toBe('good');
  });

  it('is answered under the ID that it came with, signed with the original one', () => {
    const forwarded = Buffer.from(SIGNED);
    forwarded.writeUInt16BE(0xbeef, 0);
    const verdict = verify(forwarded);
    if (verdict.kind !== 'good') throw new Error(verdict.kind);
    expect(verdict.bare.readUInt16BE(0)).toBe(0xbeef);
    const answer = verdict.signer.sign(refusalOf(verdict.bare, RCODE.NOERROR));
    expect(answer.readUInt16BE(0)).toBe(0xbeef);
    // The forwarder puts the first ID back; then the answer is one to the first request.
    answer.writeUInt16BE(0x1234, 0);
    expect(requestOf(keyOf('hmac-sha256')).verifyAnswer(answer)).toBeDefined();
  });
});

describe('whose request is not good', () => {
  it('unsigned: is told apart', () => {
    expect(verify(SIGNED.subarray(0, 0), undefined, bareRequest()).kind).toBe('unsigned');
  });

  it('unknown key, or another algorithm: BADKEY, unsigned', () => {
    const other = makeTsigKey({ name: 'x', algorithm: 'hmac-sha256', secret: VECTOR_SECRET });
    for (const key of [other, keyOf('hmac-sha512')]) {
      const { record, rcode } = refusal(verify(SIGNED, key), 'BADKEY');
      expect([rcode, record.error, record.mac.length]).toEqual([RCODE.NOTAUTH, 17, 0]);
    }
  });

  it('wrong secret: BADSIG, unsigned', () => {
    const secret = Buffer.from(VECTOR_SECRET).reverse();
    const key = makeTsigKey({ name: VECTOR_KEY_NAME, algorithm: 'hmac-sha256', secret });
    const { record, rcode } = refusal(verify(SIGNED, key), 'BADSIG');
    expect([rcode, record.error, record.mac.length]).toEqual([RCODE.NOTAUTH, 16, 0]);
  });

  it.each([-301, 301, 86_400])('a clock %i s apart: BADTIME, signed, with both times', (apart) => {
    const { record, rcode, answer } = refusal(
      verify(SIGNED, keyOf('hmac-sha256'), undefined, apart),
      'BADTIME',
    );
    expect([rcode, record.error, record.mac.length]).toEqual([RCODE.NOTAUTH, 18, 32]);
    expect(record.timeSigned).toBe(VECTOR_SECONDS);
    expect(record.other.readUIntBE(0, 6)).toBe(VECTOR_SECONDS + apart);
    expect(requestOf(keyOf('hmac-sha256')).verifyAnswer(answer)?.rcode).toBe(RCODE.NOTAUTH);
  });

  it.each([-300, 300])('a clock %i s apart is within the fudge', (apart) => {
    expect(verify(SIGNED, keyOf('hmac-sha256'), undefined, apart).kind).toBe('good');
  });

  it.each([
    ['hmac-sha256', 33, 'malformed'],
    ['hmac-sha256', 32, 'good'],
    ['hmac-sha256', 16, 'good'],
    ['hmac-sha256', 15, 'malformed'],
    ['hmac-sha256', 0, 'malformed'],
    ['hmac-sha1', 12, 'BADTRUNC'],
    ['hmac-sha1', 10, 'BADTRUNC'],
    ['hmac-sha1', 9, 'malformed'],
    ['hmac-sha512', 32, 'good'],
    ['hmac-sha512', 31, 'malformed'],
  ] as const)('%s cut to %i bytes: %s', (algorithm, bytes, outcome) => {
    const vector = TSIG_VECTORS.find((each) => each.algorithm === algorithm);
    const key = keyOf(algorithm);
    const cut = withMacOf(Buffer.from(vector?.request.signed ?? '', 'hex'), key, bytes);
    const verdict = verify(cut, key);
    expect(verdict.kind === 'refused' ? verdict.fault : verdict.kind).toBe(outcome);
    if (outcome !== 'BADTRUNC') return;
    const { record } = refusal(verdict, 'BADTRUNC');
    expect([record.error, record.mac.length]).toEqual([22, key.macBytes]);
  });

  it('a truncated MAC that is wrong is BADSIG, however short', () => {
    const cut = withMacOf(SIGNED, keyOf('hmac-sha256'), 16);
    cut[MAC_SIZE_AT + 2] = (cut[MAC_SIZE_AT + 2] ?? 0) ^ 1;
    refusal(verify(cut), 'BADSIG');
  });

  it('two TSIG records, one that is not the last, or one in another section: malformed', () => {
    const tsig = SIGNED.subarray(TSIG_START);
    const bare = bareRequest();
    const opt = Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    const cases = [
      { counts: [0, 0, 2], tail: [tsig, tsig] },
      { counts: [0, 0, 2], tail: [tsig, opt] },
      { counts: [0, 1, 0], tail: [tsig] },
      { counts: [1, 0, 0], tail: [tsig] },
    ];
    for (const { counts, tail } of cases) {
      const message = Buffer.concat([bare, ...tail]);
      for (const [index, count] of counts.entries()) message.writeUInt16BE(count, 6 + 2 * index);
      expect(verify(message).kind).toBe('malformed');
    }
  });
});

describe('an answer to our request', () => {
  const key = keyOf('hmac-sha256');
  const request = requestOf(key);
  const [answer] = (SHA256?.stream ?? []).map((each) => bytesOf(each).signed);

  it('is none when any signed byte of it was changed', () => {
    const message = answer ?? Buffer.alloc(0);
    const accepted = [...message.keys()].filter((index) => {
      const changed = Buffer.from(message);
      changed[index] = (changed[index] ?? 0) ^ 0x01;
      return request.verifyAnswer(changed) !== undefined;
    });
    expect(accepted).toEqual([0, 1]);
  });

  it('is none when it is unsigned, or an unsigned error', () => {
    const bare = refusalOf(bareRequest(), RCODE.NOTAUTH);
    expect(request.verifyAnswer(bare)).toBeUndefined();
    const verdict = verify(SIGNED, makeTsigKey({ ...key, secret: Buffer.alloc(32, 7) }));
    expect(request.verifyAnswer(refusal(verdict, 'BADSIG').answer)).toBeUndefined();
  });
});

function keyOf(algorithm: TsigKey['algorithm']): TsigKey {
  return makeTsigKey({ name: VECTOR_KEY_NAME, algorithm, secret: VECTOR_SECRET });
}

function bytesOf({ bare, signed }: { readonly bare: string; readonly signed: string }) {
  return { bare: Buffer.from(bare, 'hex'), signed: Buffer.from(signed, 'hex') };
}

function bareRequest(): Buffer {
  return Buffer.from(SHA256?.request.bare ?? '', 'hex');
}

function requestOf(key: TsigKey) {
  return signRequest(bareRequest(), key, at(0));
}

function at(seconds: number): () => number {
  return () => VECTOR_SECONDS + seconds;
}

function verify(
  signed: Buffer,
  key: TsigKey = keyOf('hmac-sha256'),
  message: Buffer = signed,
  apart = 0,
): RequestVerdict {
  const layout = layoutOf(message);
  if (layout === undefined) throw new Error('the message cannot be read');
  return verifyRequest(message, layout, new TsigKeys([key]), at(apart));
}

function refusalOf(message: Buffer, rcode: number): Buffer {
  return errorAnswer(message, layoutOf(message), rcode);
}

/** The refusal with that fault as it goes out, and the TSIG in it. */
function refusal(verdict: RequestVerdict, fault: string) {
  if (verdict.kind !== 'refused') throw new Error(`${verdict.kind}, not ${fault}`);
  expect(verdict.fault).toBe(fault);
  const answer = verdict.refuse(refusalOf(bareRequest(), RCODE.NOTAUTH));
  const layout = layoutOf(answer);
  const search = layout === undefined ? undefined : findTsig(answer, layout);
  if (layout === undefined || search?.kind !== 'found') throw new Error('no TSIG in the refusal');
  const record: TsigRecord = search.record;
  return { answer, record, rcode: layout.rcode };
}

/** The same message with so many bytes of its MAC; more than all are filled up with zeros. */
function withMacOf(message: Buffer, { macBytes, algorithm }: TsigKey, bytes: number): Buffer {
  const sizeAt = TSIG_START + 22 + 10 + algorithm.length + 2 + 8;
  const mac = Buffer.alloc(bytes);
  message.copy(mac, 0, sizeAt + 2, sizeAt + 2 + Math.min(bytes, macBytes));
  const cut = Buffer.concat([
    message.subarray(0, sizeAt + 2),
    mac,
    message.subarray(sizeAt + 2 + macBytes),
  ]);
  cut.writeUInt16BE(bytes, sizeAt);
  const dataLengthAt = TSIG_START + 22 + 8;
  cut.writeUInt16BE(cut.readUInt16BE(dataLengthAt) + bytes - macBytes, dataLengthAt);
  return cut;
}
