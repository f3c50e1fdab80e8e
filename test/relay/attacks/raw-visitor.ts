// A visitor who says any bytes over TLS, each from an address of his own on the loopback network, so
// that a workspace's record tells who said what.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { within } from '../../world/program-process.ts';
import type { AttackedVendor } from './attacked-vendor.ts';
import { type RawResponse, readResponses } from './raw-responses.ts';
import { Watch } from './watch.ts';

/** Many dial at once, on a busy machine. */
const DIAL_WITHIN_MS = 20_000;

let addresses = 0;

/** 127.1.0.1, 127.1.0.2 and so on: all of them are this machine. */
function newAddress(): string {
  addresses += 1;
  return `127.${1 + Math.floor(addresses / 62_500)}.${Math.floor(addresses / 250) % 250}.${1 + (addresses % 250)}`;
}

export type TlsPlace = Pick<AttackedVendor, 'port' | 'hostname' | 'ca'>;

export class RawVisitor implements Disposable {
  readonly socket: TLSSocket;
  readonly address: string;
  readonly watch = new Watch();
  /** `end`: in order. Otherwise the code of an error, or `closed` when there was none. */
  ending: string | undefined;
  #pieces: Buffer[] = [];

  constructor(socket: TLSSocket, address: string) {
    this.socket = socket;
    this.address = address;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.#pieces.push(bytes);
      this.watch.changed();
    });
    socket.on('end', () => this.#over('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#over(error.code ?? error.message));
    socket.on('close', () => this.#over('closed'));
  }

  static async dial(vendor: TlsPlace, options: ConnectionOptions = {}): Promise<RawVisitor> {
    const address = newAddress();
    // Half-open, so that he can go on when he has been answered.
    const tcp = connectTcp({
      host: '127.0.0.1',
      port: vendor.port,
      localAddress: address,
      allowHalfOpen: true,
    });
    const socket = connect({
      socket: tcp,
      servername: vendor.hostname,
      ca: vendor.ca,
      ALPNProtocols: ['http/1.1'],
      ...options,
    });
    await within(once(socket, 'secureConnect'), DIAL_WITHIN_MS, 'a TLS connection');
    return new RawVisitor(socket, address);
  }

  get bytes(): Buffer {
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = [whole];
    return whole;
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  /** `methods`: of the requests, in order, where a HEAD is among them. */
  responses(...methods: readonly string[]): RawResponse[] {
    return readResponses(this.text, methods, this.ending !== undefined);
  }

  /** Those that are no 1xx. */
  finals(...methods: readonly string[]): RawResponse[] {
    return this.responses(...methods).filter(({ status }) => status >= 200 || status === 101);
  }

  say(bytes: string | Buffer): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1');
    else this.socket.write(bytes);
  }

  /** Resolves with the last of so many whole final responses. */
  async answer(count = 1, ms?: number): Promise<RawResponse> {
    const whole = () => this.finals().filter((response) => response.whole);
    const enough = () => whole().length >= count || this.ending !== undefined;
    await this.watch.until(enough, `${count} responses for ${this.address}`, ms);
    const last = whole()[count - 1];
    if (last === undefined) {
      throw new Error(`the connection ended (${this.ending}) after ${this.text.slice(0, 500)}`);
    }
    return last;
  }

  async over(ms?: number): Promise<string> {
    await this.watch.until(() => this.ending !== undefined, `the end of ${this.address}`, ms);
    return this.ending ?? '';
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #over(ending: string): void {
    this.ending ??= ending;
    this.watch.changed();
  }
}
