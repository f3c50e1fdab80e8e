// Answers that say only what is wrong: the header, the question as it was asked, an RCODE, and an OPT
// record for who sent one.
import { HEADER_BYTES, type Layout } from './message-layout.ts';
import { EDNS_LIMITS } from './query.ts';
import { TYPE } from './record.ts';

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  NOTAUTH: 9,
  /** Beyond 15: its upper bits lie in the OPT record (RFC 6891, section 6.1.3). */
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;

/** Without a layout, of a message that cannot be read, the question is left out. */
export function errorAnswer(message: Buffer, layout: Layout | undefined, rcode: number): Buffer {
  const end = layout?.question.end ?? HEADER_BYTES;
  const answer = Buffer.from(message.subarray(0, end));
  // The opcode and RD stay as they were (RFC 1035, section 4.1.1).
  answer.writeUInt16BE(0x8000 | (message.readUInt16BE(2) & 0x7900) | rcode, 2);
  answer.fill(0, 4, HEADER_BYTES);
  if (layout === undefined) return answer;
  answer.writeUInt16BE(1, 4);
  const asked = layout.records.find(({ type }) => type === TYPE.OPT);
  if (asked === undefined) return answer;
  answer.writeUInt16BE(1, 10);
  return Buffer.concat([answer, optFor(asked.ttl)]);
}

const OPT_BYTES = 11;
/** Of the fields that stand in place of a TTL (RFC 6891, section 6.1.3). */
const DNSSEC_OK = 0x8000;

/** Version 0, no options; of the asker's flags only DO goes back (RFC 3225, section 3). */
function optFor(askedTtl: number): Buffer {
  const opt = Buffer.alloc(OPT_BYTES);
  opt.writeUInt16BE(TYPE.OPT, 1);
  opt.writeUInt16BE(EDNS_LIMITS.udpBytesMax, 3);
  opt.writeUInt32BE(askedTtl & DNSSEC_OK, 5);
  return opt;
}
