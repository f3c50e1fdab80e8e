import { decode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { encodeName } from '../../dns/domain-name.ts';
import { makeQuestion } from '../../dns/exchange.ts';
import { parseRdata } from '../../dns/rdata.ts';
import { TYPE, type ZoneRecord } from '../../dns/record.ts';
import { transferMessages } from '../../dns/transfer-messages.ts';
import { VENDOR_ZONE, vendorZone } from '../world/vendor-zone.ts';

const APEX = encodeName(VENDOR_ZONE) ?? Buffer.alloc(0);
const QUESTION = makeQuestion(APEX, TYPE.AXFR).subarray(12, 12 + APEX.length + 4);

describe('the messages of a transfer', () => {
  it('hold every record, compressed, in messages of 16 KB, as another decoder reads them', () => {
    const zone = vendorZone(5_000);
    const messages = messagesOf(zone.records());
    const answers = messages.flatMap((message) => decode(message).answers ?? []);
    const wanted = [...zone.records()].flatMap(({ owner, set }) =>
      set.data.map(() => `${owner} ${set.type} ${set.ttl}`),
    );
    const found = answers.map((each) => `${each.name} ${numberOf(each.type)} ${ttlOf(each)}`);
    expect(found).toEqual(wanted);
    const targets = answers.flatMap((each) => (each.type === 'CNAME' ? [each.data] : []));
    expect(new Set(targets)).toEqual(new Set([`edge.${VENDOR_ZONE}`]));
    const bytes = messages.reduce((sum, each) => sum + each.length, 0);
    expect(bytes / wanted.length).toBeLessThan(25);
    expect(Math.max(...messages.map((each) => each.length))).toBeLessThanOrEqual(16_384);
    expect(messages.slice(0, -1).every((each) => each.length > 15_000)).toBe(true);
  });

  it('have the question and OPT in the first only', () => {
    const messages = messagesOf(vendorZone(2_000).records()).map((each) => decode(each));
    expect(messages.map((each) => each.questions?.length)).toEqual(
      messages.map((_, index) => (index === 0 ? 1 : 0)),
    );
    expect(messages.map((each) => each.additionals?.length)).toEqual(
      messages.map((_, index) => (index === 0 ? 1 : 0)),
    );
  });

  it('hold a set of sixty thousand bytes whole', () => {
    const data = parseRdata(TYPE.TXT, `"${'x'.repeat(59_000)}"`) ?? Buffer.alloc(0);
    const large: ZoneRecord = { owner: VENDOR_ZONE, set: { type: TYPE.TXT, ttl: 1, data: [data] } };
    const messages = messagesOf([large, ...vendorZone(0).records(), large]);
    const texts = messages.flatMap((each) => decode(each).answers ?? []).filter(isText);
    expect(texts).toHaveLength(2);
    expect(messages.length).toBe(3);
  });
});

function messagesOf(records: Iterable<ZoneRecord>): Buffer[] {
  const head = { id: 7, question: QUESTION, edns: true };
  return Array.from(transferMessages(head, records), (message) => Buffer.from(message));
}

function isText({ type }: { readonly type: string }): boolean {
  return type === 'TXT';
}

/** The decoder names types; those that it does not know it calls UNKNOWN_n. */
function numberOf(name: string): number {
  const known = Object.entries(TYPE).find(([each]) => each === name)?.[1];
  return known ?? Number(name.replace('UNKNOWN_', ''));
}

function ttlOf(answer: object): number | undefined {
  return 'ttl' in answer ? Number(answer.ttl) : undefined;
}
