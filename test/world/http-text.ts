// HTTP/1.1 messages as a test sees them on the wire: split by their framing, nothing interpreted.
import type { ByteStream } from './byte-stream.ts';

export interface RawMessage {
  /** Request line or status line. */
  readonly line: string;
  /** Name, colon, value: as on the wire. */
  readonly fieldLines: readonly string[];
  readonly body: Buffer;
  /** Sizes of the chunks, when it was chunked. */
  readonly chunks: readonly number[];
  readonly trailerLines: readonly string[];
}

export type RawHead = Pick<RawMessage, 'line' | 'fieldLines'>;

/** Every value of a field, in order. The name is given in lower case. */
export function valuesOf(head: Pick<RawMessage, 'fieldLines'>, lowerName: string): string[] {
  return head.fieldLines
    .filter((line) => line.toLowerCase().startsWith(`${lowerName}:`))
    .map((line) => line.slice(lowerName.length + 1).trim());
}

export function statusOf(head: RawHead): number {
  return Number(head.line.split(' ')[1]);
}

export async function readHead(stream: ByteStream): Promise<RawHead> {
  const text = await stream.until('\r\n\r\n');
  const [line = '', ...fieldLines] = text.slice(0, -4).split('\r\n');
  return { line, fieldLines };
}

/** A whole request. */
export async function readRequest(stream: ByteStream): Promise<RawMessage> {
  const head = await readHead(stream);
  const framed =
    valuesOf(head, 'content-length').length + valuesOf(head, 'transfer-encoding').length;
  return framed === 0 ? { ...head, ...NO_BODY } : await readBody(stream, head);
}

/** A whole response, interim ones included: they come one by one. */
export async function readResponse(stream: ByteStream, method = 'GET'): Promise<RawMessage> {
  const head = await readHead(stream);
  const status = statusOf(head);
  const none = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  return none ? { ...head, ...NO_BODY } : await readBody(stream, head);
}

const NO_BODY = { body: Buffer.alloc(0), chunks: [], trailerLines: [] };

async function readBody(stream: ByteStream, head: RawHead): Promise<RawMessage> {
  if (valuesOf(head, 'transfer-encoding').length > 0) return await readChunked(stream, head);
  const length = valuesOf(head, 'content-length')[0];
  const body = length === undefined ? await stream.rest() : await stream.exactly(Number(length));
  return { ...head, ...NO_BODY, body };
}

async function readChunked(stream: ByteStream, head: RawHead): Promise<RawMessage> {
  const pieces: Buffer[] = [];
  for (;;) {
    const size = Number.parseInt(await stream.until('\r\n'), 16);
    if (size === 0) break;
    pieces.push(await stream.exactly(size));
    await stream.until('\r\n');
  }
  const trailerLines: string[] = [];
  for (;;) {
    const line = (await stream.until('\r\n')).slice(0, -2);
    if (line === '') break;
    trailerLines.push(line);
  }
  const chunks = pieces.map((piece) => piece.length);
  return { ...head, body: Buffer.concat(pieces), chunks, trailerLines };
}
