// The answer to an ordinary question that came signed (secondaries ask for the SOA so): signed in
// turn, and over UDP never larger than the asker takes (RFC 8945, section 5.3).
import { errorAnswer, RCODE } from './error-answer.ts';
import type { Layout } from './message-layout.ts';
import { TYPE } from './record.ts';
import type { Asker } from './server.ts';
import type { AnswerSigner } from './tsig.ts';

const UDP_LIMITS = {
  /** RFC 1035, section 4.2.1: without EDNS. */
  plainBytes: 512,
  /** Beyond it packets are cut into fragments on some paths, which are then lost. */
  ednsBytes: 1232,
} as const;

export function signQuestionAnswer(
  answer: Buffer,
  request: { readonly bare: Buffer; readonly layout: Layout; readonly asker: Asker },
  signer: AnswerSigner,
): Buffer {
  const { bare, layout, asker } = request;
  if (asker.transport === 'tcp') return signer.sign(answer);
  if (answer.length + signer.recordBytes <= udpBytes(layout)) return signer.sign(answer);
  // Only the question and the signature, TC, and no error: the asker comes again over TCP.
  const short = errorAnswer(bare, layout, RCODE.NOERROR);
  short.writeUInt16BE(short.readUInt16BE(2) | 0x0200, 2);
  return signer.sign(short);
}

/** OPT carries the size that the asker takes in place of a class (RFC 6891, section 6.1.2). */
function udpBytes({ records }: Layout): number {
  const opt = records.find(({ type }) => type === TYPE.OPT);
  if (opt === undefined) return UDP_LIMITS.plainBytes;
  return Math.min(UDP_LIMITS.ednsBytes, Math.max(UDP_LIMITS.plainBytes, opt.class));
}
