// Where the programs are that the suites start: a bundle of them, unless the project of this suite runs the
// sources (vitest.config.ts).
import { resolve } from 'node:path';
import { inject } from 'vitest';
import type { ProgramBundle } from './program-bundle.ts';

declare module 'vitest' {
  interface ProvidedContext {
    readonly programs?: ProgramBundle;
  }
}

export function waygateFile(): string {
  return inject('programs')?.waygate ?? resolve('waygate.ts');
}

export function verbHostFile(): string {
  return inject('programs')?.verbHost ?? resolve('test/world/verb-host-program.ts');
}
