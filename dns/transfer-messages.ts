// Records packed into the messages of a transfer (RFC 5936, section 2.2): as many in each as it holds,
// names compressed, one message in memory at a time however large the zone is.
import { HEADER_BYTES } from './message-layout.ts';
import { CLASS, TYPE, type ZoneRecord } from './record.ts';

const MESSAGE_LIMITS = {
  /** A length prefix of TCP has 16 bits. */
  bytesMax: 65_535,
  /** Pointers reach no further than 16,383 bytes, so a longer message would not compress its rest. */
  bytesAim: 16_384,
  /** Room for OPT and TSIG behind the records. */
  reserveBytes: 700,
} as const;

const POINTER_REACH = 0x4000;

/** RFC 6891: version 0, 1,232 bytes of UDP, nothing more. */
const PLAIN_OPT = Buffer.of(0, 0, TYPE.OPT, 0x04, 0xd0, 0, 0, 0, 0, 0, 0);

export interface TransferHead {
  readonly id: number;
  /** As asked, byte for byte; only the first message repeats it. */
  readonly question: Buffer;
  /** Whether the first message carries an OPT record, because the request did. */
  readonly edns: boolean;
}

/** Each message is valid until the next is asked for: all are written into the same memory. */
export function* transferMessages(
  head: TransferHead,
  records: Iterable<ZoneRecord>,
): Generator<Buffer> {
  const page = new Page();
  page.begin(head.id, head.question);
  let edns = head.edns;
  for (const { owner, set } of records) {
    for (const data of set.data) {
      if (!page.holds(owner, data)) {
        yield page.finish(edns);
        edns = false;
        page.begin(head.id, undefined);
      }
      page.write(owner, set, data);
    }
  }
  yield page.finish(edns);
}

class Page {
  readonly #bytes = Buffer.allocUnsafe(MESSAGE_LIMITS.bytesMax);
  /** Where a name, as text, or RDATA that is nothing but a name, lies already. */
  readonly #names = new Map<string, number>();
  readonly #nameData = new Map<Buffer, number>();
  #at = 0;
  #records = 0;

  begin(id: number, question: Buffer | undefined): void {
    this.#names.clear();
    this.#nameData.clear();
    this.#records = 0;
    this.#bytes.fill(0, 0, HEADER_BYTES);
    this.#bytes.writeUInt16BE(id, 0);
    // QR and AA: an answer with authority.
    this.#bytes.writeUInt16BE(0x8400, 2);
    this.#bytes.writeUInt16BE(question === undefined ? 0 : 1, 4);
    this.#at = HEADER_BYTES + (question?.copy(this.#bytes, HEADER_BYTES) ?? 0);
  }

  /** A first record always goes in: RDATA of 65,000 bytes and its owner fit into an empty message. */
  holds(owner: string, data: Buffer): boolean {
    const end = this.#at + owner.length + 2 + 10 + data.length + MESSAGE_LIMITS.reserveBytes;
    return end <= MESSAGE_LIMITS.bytesAim || this.#records === 0;
  }

  write(owner: string, { type, ttl }: ZoneRecord['set'], data: Buffer): void {
    this.#writeOwner(owner);
    const bytes = this.#bytes;
    bytes.writeUInt16BE(type, this.#at);
    bytes.writeUInt16BE(CLASS.IN, this.#at + 2);
    bytes.writeUInt32BE(ttl, this.#at + 4);
    this.#at += 8;
    // Only the types of RFC 1035 may have names in their RDATA compressed (RFC 3597, section 4).
    const pointer = isName(type) ? this.#nameData.get(data) : undefined;
    if (pointer === undefined) {
      bytes.writeUInt16BE(data.length, this.#at);
      if (isName(type) && this.#at + 2 < POINTER_REACH) this.#nameData.set(data, this.#at + 2);
      this.#at += 2 + data.copy(bytes, this.#at + 2);
    } else {
      bytes.writeUInt16BE(2, this.#at);
      bytes.writeUInt16BE(0xc000 | pointer, this.#at + 2);
      this.#at += 4;
    }
    this.#records += 1;
  }

  finish(edns: boolean): Buffer {
    this.#bytes.writeUInt16BE(this.#records, 6);
    if (edns) {
      this.#bytes.writeUInt16BE(1, 10);
      this.#at += PLAIN_OPT.copy(this.#bytes, this.#at);
    }
    return this.#bytes.subarray(0, this.#at);
  }

  /** Zones keep their names as text with a character per byte, so a dot always ends a label. */
  #writeOwner(owner: string): void {
    for (let rest = owner; rest !== ''; ) {
      const known = this.#names.get(rest);
      if (known !== undefined) {
        this.#bytes.writeUInt16BE(0xc000 | known, this.#at);
        this.#at += 2;
        return;
      }
      if (this.#at < POINTER_REACH) this.#names.set(rest, this.#at);
      const dot = rest.indexOf('.');
      const label = dot === -1 ? rest : rest.slice(0, dot);
      this.#bytes[this.#at] = label.length;
      this.#at += 1 + this.#bytes.write(label, this.#at + 1, 'latin1');
      rest = dot === -1 ? '' : rest.slice(dot + 1);
    }
    this.#bytes[this.#at] = 0;
    this.#at += 1;
  }
}

/** Plain devices share one Buffer of RDATA, so identity finds nearly all repetitions. */
function isName(type: number): boolean {
  return type === TYPE.CNAME || type === TYPE.NS || type === TYPE.PTR;
}
