// A disk that can be full: a tmpfs at the path of a relay's state, in a mount namespace that only the
// programs of the test are in. It is gone when they are.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramOptions, ProgramProcess } from './program-process.ts';

export class SmallDisk {
  readonly #state: string;
  readonly #bytes: number;
  #pid = 0;

  /** `state`: a directory, which is on the disk from then on. */
  constructor(state: string, bytes: number) {
    this.#state = state;
    this.#bytes = bytes;
  }

  /** For the first program: it makes the disk. */
  get make(): ProgramOptions {
    const script = [
      'set -e',
      'cp -a "$0" "$1"',
      `mount -t tmpfs -o size=${this.#bytes},mode=700 none "$0"`,
      'cp -a "$1/." "$0"',
      'shift',
      'exec "$@"',
    ];
    const copy = `${this.#state}.copy`;
    return { under: ['unshare', '--mount', 'sh', '-c', script.join('\n'), this.#state, copy] };
  }

  /** The first program, once it runs. */
  belongsTo({ pid }: Pick<ProgramProcess, 'pid'>): void {
    this.#pid = pid;
  }

  /** For every other program that is to see the disk. */
  get enter(): ProgramOptions {
    return { under: ['nsenter', '-t', String(this.#pid), `--wd=${process.cwd()}`, '--mount'] };
  }

  /** Writes until nothing more fits. */
  fill(): void {
    for (const bytes of [65_536, 4_096, 1]) {
      try {
        for (;;) writeFileSync(this.#ballast, Buffer.alloc(bytes), { flag: 'a' });
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      }
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast);
  }

  get #ballast(): string {
    return join(`/proc/${this.#pid}/root${this.#state}`, 'ballast');
  }
}
