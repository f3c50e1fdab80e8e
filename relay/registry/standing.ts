// How the registry stands with its database: which faults there are, told in the log when each begins
// and when it ends, and only then.
import type { Logger } from 'pino';
import { RegistryError } from './registry-error.ts';

export type FaultKind = 'read' | 'write';

export class Standing {
  readonly #log: Logger;
  /** How many names go on being served. */
  readonly #names: () => number;
  #faults: Readonly<Record<FaultKind, RegistryError | undefined>> = {
    read: undefined,
    write: undefined,
  };

  constructor(log: Logger, names: () => number) {
    this.#log = log;
    this.#names = names;
  }

  get read(): RegistryError | undefined {
    return this.#faults.read;
  }

  get write(): RegistryError | undefined {
    return this.#faults.write;
  }

  /** Throws what is no fault of the database. */
  begin(kind: FaultKind, error: unknown): void {
    if (!(error instanceof RegistryError)) throw error;
    const known = this.#faults[kind];
    this.#faults = { ...this.#faults, [kind]: error };
    if (known?.code === error.code) return;
    this.#log.error(
      { err: error, kind, names: this.#names() },
      'the registry has a fault; the last good snapshot goes on serving',
    );
  }

  end(kind: FaultKind): void {
    if (this.#faults[kind] === undefined) return;
    this.#faults = { ...this.#faults, [kind]: undefined };
    this.#log.info({ kind, names: this.#names() }, 'the registry is well again');
  }
}
