// One question to one name server and its answer: over UDP from a random port with a random ID, over
// TCP when the answer was cut. What is no answer to this question (another sender, ID or question) is
// passed over until the deadline; the answer's content is the caller's to judge.
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6 } from 'node:net';
import { type Layout, layoutOf } from './message-layout.ts';
import { CLASS } from './record.ts';

const EXCHANGE_LIMITS = {
  /** Answers that do not fit are asked for by TCP; larger packets are lost as fragments on some paths. */
  udpBytes: 1232,
  /** A TCP answer announces up to that, and no more is ever kept. */
  tcpBytesMax: 65_537,
} as const;

export interface NameServerAddress {
  readonly address: string;
  readonly port: number;
}

export interface ExchangeOptions {
  /** Ends the waiting; it must abort some time, because nothing else ends it. */
  readonly signal: AbortSignal;
  /** The own address to ask from. */
  readonly from?: string | undefined;
  /** What an answer must be besides; the default takes any answer to the question. */
  readonly accept?: (answer: Buffer) => Layout | undefined;
}

export interface Answer {
  readonly message: Buffer;
  readonly layout: Layout;
}

/** A question of ours, not recursive, with EDNS. */
export function makeQuestion(nameWire: Buffer, type: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(randomInt(0x1_0000), 0);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 10);
  const asked = Buffer.alloc(4);
  asked.writeUInt16BE(type, 0);
  asked.writeUInt16BE(CLASS.IN, 2);
  const opt = Buffer.from([0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0]);
  opt.writeUInt16BE(EXCHANGE_LIMITS.udpBytes, 3);
  return Buffer.concat([header, nameWire, asked, opt]);
}

/** UDP, then TCP when the answer was truncated. Rejects with why there is none. */
export async function ask(
  question: Buffer,
  server: NameServerAddress,
  options: ExchangeOptions,
): Promise<Answer> {
  const answer = await askByUdp(question, server, options);
  return answer.layout.truncated ? await askByTcp(question, server, options) : answer;
}

export async function askByUdp(
  question: Buffer,
  { address, port }: NameServerAddress,
  options: ExchangeOptions,
): Promise<Answer> {
  options.signal.throwIfAborted();
  const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', signal: options.signal });
  // What comes after the answer, or after the end of waiting, is nobody's.
  socket.on('error', () => undefined);
  try {
    const found = Promise.withResolvers<Answer>();
    socket.on('error', found.reject);
    socket.on('close', () => found.reject(reasonOf(options.signal)));
    socket.on('message', (message) => {
      const answer = judge(message, question, options);
      if (answer !== undefined) found.resolve(answer);
    });
    if (options.from !== undefined) socket.bind({ address: options.from });
    // A connected socket takes packets of this server only, and learns at once that nobody is there.
    socket.connect(port, address, () => socket.send(question));
    return await found.promise;
  } finally {
    closeSocket(socket);
  }
}

async function askByTcp(
  question: Buffer,
  { address, port }: NameServerAddress,
  options: ExchangeOptions,
): Promise<Answer> {
  options.signal.throwIfAborted();
  const socket = connect({
    host: address,
    port,
    ...(options.from === undefined ? {} : { localAddress: options.from }),
    signal: options.signal,
  });
  try {
    socket.on('error', () => undefined);
    await once(socket, 'connect', { signal: options.signal });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(question.length, 0);
    socket.end(Buffer.concat([length, question]));
    const message = await readMessage(socket);
    const answer = message === undefined ? undefined : judge(message, question, options);
    if (answer === undefined) throw new Error('what it answered by TCP is no answer');
    return answer;
  } finally {
    socket.destroy();
  }
}

/** The first message of the stream; undefined when the stream ends before it does. */
async function readMessage(stream: AsyncIterable<Buffer>): Promise<Buffer | undefined> {
  let bytes = Buffer.alloc(0);
  for await (const piece of stream) {
    bytes = Buffer.concat([bytes, piece]);
    const end = bytes.length < 2 ? EXCHANGE_LIMITS.tcpBytesMax : 2 + bytes.readUInt16BE(0);
    if (bytes.length >= end) return bytes.subarray(2, end);
  }
  return undefined;
}

function judge(message: Buffer, question: Buffer, options: ExchangeOptions): Answer | undefined {
  const asked = layoutOf(question)?.question;
  const { accept = layoutOf } = options;
  if (asked === undefined || message.length < 2) return undefined;
  if (message.readUInt16BE(0) !== question.readUInt16BE(0)) return undefined;
  const layout = accept(message);
  if (layout === undefined || !layout.response) return undefined;
  const { name, type, class: asClass } = layout.question;
  if (!name.equals(asked.name) || type !== asked.type || asClass !== asked.class) return undefined;
  return { message, layout };
}

function closeSocket(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // The signal has closed it before.
  }
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error('the socket was closed');
}
