// The request body on its way from a visitor to a workspace: framing is read strictly and written
// anew, bytes pass as they come. What came in one read goes on in one chunk: a visitor who puts each
// byte into a chunk of its own must not cost the tunnel a frame, and a workspace a read, per byte.
import {
  type Body,
  BodyReader,
  type BodySink,
  CRLF,
  chunkHead,
  LAST_CHUNK,
  writeTrailers,
} from './body.ts';
import type { Fields } from './fields.ts';
import type { WorkspaceConnection } from './workspace.ts';

export class Upload implements BodySink {
  /** Bytes of this body so far, framing not counted. */
  bytes = 0;
  /** The workspace takes no more for now; whoever drains it clears this. */
  full = false;
  readonly #reader = new BodyReader();
  #connection: WorkspaceConnection | undefined;
  #chunked = false;
  #lastChunk = LAST_CHUNK;
  /** What the present read has brought, in order. */
  #pieces: Buffer[] = [];

  /** The whole body was read and sent on. */
  get done(): boolean {
    return this.#reader.done;
  }

  /** What is wrong with the framing, in words for a person. */
  get fault(): string | undefined {
    return this.#reader.fault;
  }

  start(body: Body): void {
    this.bytes = 0;
    this.full = false;
    this.#chunked = body.kind === 'chunked';
    this.#lastChunk = LAST_CHUNK;
    this.#reader.start(body);
  }

  /** Where the body goes; asked anew for each try of a request. */
  sendTo(connection: WorkspaceConnection | undefined): void {
    this.#connection = connection;
  }

  /** Takes what belongs to the body; returns what follows it. */
  read(bytes: Buffer): Buffer {
    const next = this.#reader.read(bytes, 0, this);
    if (this.#pieces.length > 0) this.#sendPieces();
    if (this.#chunked && this.#reader.done) this.#send(this.#lastChunk);
    return bytes.subarray(next);
  }

  bodyBytes(slice: Buffer): void {
    this.bytes += slice.length;
    this.#pieces.push(slice);
  }

  bodyTrailers(fields: Fields): void {
    if (fields.length > 0) this.#lastChunk = writeTrailers(fields);
  }

  #sendPieces(): void {
    const [first] = this.#pieces;
    const bytes =
      first === undefined || this.#pieces.length > 1 ? Buffer.concat(this.#pieces) : first;
    this.#pieces = [];
    if (this.#chunked) this.#send(chunkHead(bytes.length));
    this.#send(bytes);
    if (this.#chunked) this.#send(CRLF);
  }

  #send(bytes: Buffer | string): void {
    if (this.#connection?.write(bytes) === false) this.full = true;
  }
}
