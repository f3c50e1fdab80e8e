// What a program is handed by whoever runs it, and what it gives back. Both ends import it; it is no
// part of the wire protocol, and it costs nothing at run time.
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';

export interface ProgramContext {
  readonly log: Logger;
  /** Served at `/metrics`. */
  readonly metrics: Registry;
  /** Aborted when the program is to stop; a start that waits for others rejects with its reason then. */
  readonly stopping: AbortSignal;
  /**
   * The program serves now: `/readyz` says so, and a parent process is told the details (plain JSON,
   * no secrets). May be called again after `notReady`.
   */
  ready(details: Readonly<Record<string, unknown>>): void;
  /** The program runs but cannot serve; the sentence is for a person and is shown by `/readyz`. */
  notReady(why: string): void;
}

/** A started program. */
export interface Running {
  /** Finishes what is under way, within the program's own bound, and frees everything. */
  stop(): Promise<void>;
}
