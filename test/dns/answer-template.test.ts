// A template's answer is what the codec writes for the same question, whatever the question's length.
import { decode } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerQuestion } from '../../dns/answer.ts';
import { AnswerTemplates } from '../../dns/answer-template.ts';
import { AnswerWriter, type Body } from '../../dns/codec.ts';
import { wireLabels } from '../../dns/domain-name.ts';
import { Query } from '../../dns/query.ts';
import { TYPE } from '../../dns/record.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { message, wireName } from './messages.ts';
import { changesOf, PROBE_ZONE, probeZone } from './probe-zone.ts';

const UNLIMITED = 65_535;

class Asked {
  readonly query = new Query();
  readonly message: Buffer;

  constructor(name: Buffer, type: number) {
    this.message = message({ name, type });
    this.query.read(this.message);
  }

  /** As the codec writes it. */
  encoded(zone = probeZone()): unknown {
    const { query } = this;
    const labels = wireLabels(this.message, 12);
    const answer = answerQuestion({ labels, type: query.type, class: query.class }, zone);
    const place = { start: query.questionEnd, end: UNLIMITED };
    return this.read(new AnswerWriter().write(answer, labels, place));
  }

  /** As somebody else reads it. */
  read(body: Readonly<Body>): unknown {
    const whole = Buffer.concat([
      this.message.subarray(0, this.query.questionEnd),
      body.bytes.subarray(body.start, body.start + body.length),
    ]);
    whole[2] = 0x80;
    whole.writeUInt16BE(body.answers, 6);
    whole.writeUInt16BE(body.authorities, 8);
    whole.writeUInt16BE(body.additionals, 10);
    const { rcode, authoritative, serialAt, rotateAt, rotateCount, rotateBytes } = body;
    const rotation = rotateCount === 0 ? 0 : { rotateAt, rotateCount, rotateBytes };
    return { packet: decode(whole), rcode, authoritative, serial: serialAt !== -1, rotation };
  }
}

const byte = fc.integer({ min: 0, max: 255 });
const label = fc.oneof(
  fc.constantFrom('*', 'edge', 'ns1', 'alice', 'bob', 'x').map((text) => Buffer.from(text)),
  fc.array(byte, { minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
);
/** Labels before `alice` or a stranger, and sometimes capital letters in all of it. */
const name = fc
  .tuple(
    fc.array(label, { maxLength: 4 }),
    fc.constantFrom('alice', 'stranger', 'a', '*', 'bob', 'edge', ''),
    fc.boolean(),
  )
  .map(([labels, first, upper]) => {
    const rest = `${first === '' ? '' : `${first}.`}${PROBE_ZONE}`;
    return Buffer.concat([
      ...labels.flatMap((each) => [Buffer.of(each.length), each]),
      wireName(upper ? rest.toUpperCase() : rest),
    ]);
  });

describe('a template', () => {
  it('answers like the codec, one question after the other', () => {
    const templates = new AnswerTemplates(new AnswerWriter());
    const zone = probeZone();
    let found = 0;
    fc.assert(
      fc.property(name, fc.constantFrom(1, 5, 6, 16, 28, 65, 255, 1000), (wire, type) => {
        const asked = new Asked(wire, type);
        const body = templates.find(asked.message, asked.query, zone, UNLIMITED);
        if (body === undefined) return;
        found += 1;
        expect(asked.read(body)).toEqual(asked.encoded(zone));
      }),
      { numRuns: 3_000 },
    );
    expect(found).toBeGreaterThan(1_000);
  });

  function finds(text: string, zone = probeZone(), type: number = TYPE.A, bytesMax = UNLIMITED) {
    const { message: bytes, query } = new Asked(wireName(text), type);
    const templates = new AnswerTemplates(new AnswerWriter());
    return templates.find(bytes, query, zone, bytesMax) !== undefined;
  }

  it('is there for plain devices and what does not exist, and for nothing else', () => {
    for (const text of ['alice', 'x.y.alice', '*.alice', 'nobody', 'x.nobody']) {
      expect([text, finds(`${text}.${PROBE_ZONE}`)]).toEqual([text, true]);
    }
    for (const text of ['bob', 'x.bob', 'edge', 'ns1', 'dev1', 'x7f3.to', 'x.*.alice']) {
      expect([text, finds(`${text}.${PROBE_ZONE}`)]).toEqual([text, false]);
    }
    for (const text of [PROBE_ZONE, 'test', 'alice.vendor.other', 'vendor.test.alice', '']) {
      expect([text, finds(text)]).toEqual([text, false]);
    }
  });

  it('is not there for strangers when the zone has a wildcard', () => {
    const source = new MemoryZone(probeZone());
    source.apply(changesOf(PROBE_ZONE, { '*': [['*', 60, 'A', ['192.0.2.50']]] }));
    expect(finds(`nobody.${PROBE_ZONE}`, source.zone)).toBe(false);
  });

  it('leaves to the codec what does not fit, which knows how to cut', () => {
    expect(finds(`alice.${PROBE_ZONE}`, probeZone(), TYPE.A, 50)).toBe(false);
  });

  it('of every type that a stranger can ask for takes bounded memory', () => {
    const templates = new AnswerTemplates(new AnswerWriter());
    const zone = probeZone();
    const answered = Array.from({ length: 300 }, (_, at) => {
      const asked = new Asked(wireName(`alice.${PROBE_ZONE}`), 1_000 + at);
      return templates.find(asked.message, asked.query, zone, UNLIMITED) !== undefined;
    });
    expect(answered).not.toContain(false);
    expect(templates.size).toBeLessThanOrEqual(64);
  });
});
