// A listener of a link that remembers what it was told, and takes bytes at once or when asked.
import type { Link, LinkEvents } from '../../relay/protocol/link.ts';
import type { ResetReason } from '../../relay/protocol/reset-reason.ts';

export class Recorder implements LinkEvents {
  readonly link: Link;
  readonly chunks: Buffer[] = [];
  /** Whether bytes are taken when they come. */
  takes: boolean;
  bytes = 0;
  heldBytes = 0;
  ends = 0;
  drains = 0;
  stops = 0;
  breaks: { readonly reason: ResetReason; readonly detail: string }[] = [];

  constructor(link: Link, takes = true) {
    this.link = link;
    this.takes = takes;
    link.events = this;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  get reason(): ResetReason | undefined {
    return this.breaks[0]?.reason;
  }

  data(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.bytes += bytes.length;
    this.heldBytes += bytes.length;
    if (this.takes) this.take(bytes.length);
  }

  end(): void {
    this.ends += 1;
  }

  broken(reason: ResetReason, detail: string): void {
    this.breaks.push({ reason, detail });
  }

  drain(): void {
    this.drains += 1;
  }

  stopping(): void {
    this.stops += 1;
  }

  take(bytes = this.heldBytes): void {
    this.heldBytes -= bytes;
    this.link.taken(bytes);
  }
}
