// A link over a socket of our own: how a device reaches a workspace.
import { connect, type Socket } from 'node:net';
import type { Link, LinkEvents } from '../protocol/link.ts';
import type { ResetReason } from '../protocol/reset-reason.ts';

/** Where a workspace listens; only a device's configuration makes these. */
export type Target =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A workspace on this machine or its LAN answers in milliseconds; one that is starting may need more. */
const CONNECT_TIMEOUT_MS = 5_000;

const nobody = (): void => undefined;
const SILENT: LinkEvents = { data: nobody, end: nobody, broken: nobody, drain: nobody };

export class SocketLink implements Link {
  events: LinkEvents = SILENT;
  readonly #socket: Socket;
  /** Unix sockets know no RST, and Node throws when one is asked for. */
  readonly #knowsReset: boolean;
  #connected = false;
  #dead = false;
  #heldBytes = 0;

  constructor(target: Target) {
    const where =
      target.kind === 'tcp'
        ? { host: target.host, port: target.port, noDelay: true }
        : { path: target.path };
    const socket = connect({ ...where, allowHalfOpen: true });
    this.#socket = socket;
    this.#knowsReset = target.kind === 'tcp';
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#break('workspace-timeout', 'no connection'));
    socket.on('connect', () => {
      this.#connected = true;
      socket.setTimeout(0);
    });
    socket.on('data', (bytes: Buffer) => this.#data(bytes));
    socket.on('end', () => this.events.end());
    // There is no 'drain' once our half is to end: what was held for it is free only then.
    for (const event of ['drain', 'finish']) socket.on(event, () => this.events.drain());
    socket.on('error', (error: NodeJS.ErrnoException) => this.#failed(error));
    socket.on('close', () => this.#break('workspace-broke', 'closed'));
  }

  write(bytes: Buffer | string): boolean {
    if (this.#dead) return true;
    return typeof bytes === 'string'
      ? this.#socket.write(bytes, 'latin1')
      : this.#socket.write(bytes);
  }

  end(): void {
    if (!this.#dead) this.#socket.end();
  }

  reset(): void {
    if (this.#dead) return;
    this.#dead = true;
    // A broken transfer must look broken to the workspace too, not like a polite end.
    if (this.#connected && this.#knowsReset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  taken(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#heldBytes <= 0 && this.#socket.isPaused()) this.#socket.resume();
  }

  #data(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    this.events.data(bytes);
    if (this.#heldBytes > 0 && !this.#dead) this.#socket.pause();
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#connected) return this.#break('workspace-broke', error.code ?? 'error');
    const slow = error.code === 'ETIMEDOUT' || error.code === 'EHOSTUNREACH';
    this.#break(slow ? 'workspace-timeout' : 'workspace-unreachable', error.code ?? 'error');
  }

  /** After an end in both directions the socket closes as well; then nobody needs to know. */
  #break(reason: ResetReason, detail: string): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#socket.destroy();
    const { readableEnded, writableFinished, errored } = this.#socket;
    if (readableEnded && writableFinished && errored === null) return;
    this.events.broken(reason, detail);
  }
}
