// What a visit needs of the entrance, and the entrance of a visit, whichever version of HTTP it speaks.
import type { Journal } from './journal.ts';
import type { Reach } from './reach.ts';
import type { RequestRate } from './request-rate.ts';
import type { Sweep } from './sweep.ts';

export interface VisitParts {
  readonly reach: Reach;
  readonly journal: Journal;
  readonly sweep: Sweep;
  /** Where an operator bounds the requests of one address. */
  readonly rate?: RequestRate | undefined;
  /** True while the program stops: responses then say that the connection closes. */
  readonly stopping: () => boolean;
  /** The visit is over. */
  readonly over: (visit: AnyVisit) => void;
}

export interface AnyVisit {
  /** Ends the connection when no request is under way; else it ends after the response. */
  stop(): void;
  /** Ends the connection at once, in a way that shows. */
  cut(): void;
}
