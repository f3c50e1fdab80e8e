// A secondary that is only a pair of sockets, and answers NOTIFY and questions for the SOA in a way that
// a test chooses: well, wrongly, or not at all.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { errorAnswer } from '../../dns/error-answer.ts';
import { type Layout, layoutOf } from '../../dns/message-layout.ts';
import { soaSerial } from '../../dns/transfer-plan.ts';
import { verifyRequest, wallClock } from '../../dns/tsig.ts';
import { TsigKeys } from '../../dns/tsig-key.ts';
import { TEST_KEY } from './hidden-primary.ts';
import { freePort } from './public-name-server.ts';

export type Manner =
  /** Acknowledges, and serves what it was told. */
  | 'well'
  | 'silent'
  | 'garbage'
  /** Without the key: anybody could say that. */
  | 'unsigned'
  | 'refusing'
  /** Sends every question over to TCP, where it accepts and never reads. */
  | 'never-reading'
  /** Acknowledges, and goes on serving the first serial. */
  | 'stuck';

export class OddSecondary implements AsyncDisposable {
  readonly address = '127.0.0.1';
  readonly port: number;
  manner: Manner;
  /** Serials of the NOTIFYs that came, in their order. */
  readonly told: number[] = [];
  answerAfterMs = 0;
  /** NOTIFYs that waited for their answer at the same time. */
  inFlightMost = 0;
  #inFlight = 0;
  #closed = false;
  #first: number | undefined;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(manner: Manner, port: number) {
    this.manner = manner;
    this.port = port;
    this.#udp = createSocket('udp4');
    this.#udp.on('message', (message, { port: to }) => this.#heard(message, to));
    this.#tcp = createServer({ pauseOnConnect: true }, (socket) => this.#sockets.add(socket));
  }

  static async start(manner: Manner, port?: number): Promise<OddSecondary> {
    const secondary = new OddSecondary(manner, port ?? (await freePort()));
    secondary.#udp.bind(secondary.port, secondary.address);
    await once(secondary.#udp, 'listening');
    secondary.#tcp.listen(secondary.port, secondary.address);
    await once(secondary.#tcp, 'listening');
    return secondary;
  }

  get newest(): number | undefined {
    return this.told.at(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#udp.close();
    this.#tcp.close();
    await once(this.#tcp, 'close');
  }

  #heard(message: Buffer, to: number): void {
    const layout = layoutOf(message);
    if (layout === undefined) throw new Error('the primary sent something malformed');
    if (layout.opcode === 4) this.#notified(message, layout, to);
    else if (this.manner !== 'silent') this.#udp.send(this.#serialAnswer(message, layout), to);
  }

  #notified(message: Buffer, layout: Layout, to: number): void {
    const soa = layout.records.find(({ section }) => section === 'answer');
    const serial = soa === undefined ? undefined : soaSerial(message, soa.dataStart, soa.end);
    if (serial === undefined) throw new Error('a NOTIFY without its SOA');
    this.told.push(serial);
    this.#first ??= serial;
    this.#inFlight += 1;
    this.inFlightMost = Math.max(this.inFlightMost, this.#inFlight);
    setTimeout(() => {
      this.#inFlight -= 1;
      if (this.#closed) return;
      const answer = this.#acknowledgement(message, layout);
      if (answer !== undefined) this.#udp.send(answer, to);
    }, this.answerAfterMs);
  }

  #acknowledgement(message: Buffer, layout: Layout): Buffer | undefined {
    const verdict = verifyRequest(message, layout, new TsigKeys([TEST_KEY]), wallClock);
    if (verdict.kind !== 'good') throw new Error(`a NOTIFY that is ${verdict.kind}`);
    const { bare, signer } = verdict;
    switch (this.manner) {
      case 'silent':
        return undefined;
      case 'garbage':
        return Buffer.concat([message.subarray(0, 2), Buffer.alloc(40, 0xc0)]);
      case 'unsigned':
        return errorAnswer(bare, layout, 0);
      case 'refusing':
        return signer.sign(errorAnswer(bare, layout, 5));
      case 'well':
      case 'stuck':
      case 'never-reading':
        return signer.sign(errorAnswer(bare, layout, 0));
    }
  }

  #serialAnswer(message: Buffer, layout: Layout): Buffer {
    // It knows no EDNS, so that its record can stand right behind the question.
    const head = errorAnswer(message, { ...layout, records: [] }, 0);
    if (this.manner === 'garbage') return Buffer.alloc(30, 0xff);
    if (this.manner === 'never-reading') {
      head.writeUInt16BE(head.readUInt16BE(2) | 0x0200, 2);
      return head;
    }
    const serial = this.manner === 'stuck' ? this.#first : this.newest;
    head.writeUInt16BE(1, 6);
    const data = Buffer.alloc(22);
    data.writeUInt32BE(serial ?? 0, 2);
    return Buffer.concat([head, Buffer.of(0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22), data]);
  }
}
