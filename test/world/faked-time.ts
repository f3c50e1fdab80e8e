// Programs whose machine has the wrong time, by libfaketime.
import { existsSync } from 'node:fs';

/** The program `faketime` waits beside what it starts; this becomes it. `time`: as FAKETIME takes it. */
export function at(time: string): readonly string[] {
  const libraries = ['x86_64', 'aarch64'].map(
    (machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`,
  );
  return ['env', `LD_PRELOAD=${libraries.find(existsSync)}`, `FAKETIME=${time}`];
}
