// Which suites run beside each other. One that compares times or counts CPU says so in its name
// (`*.alone.test.ts`) and runs when nothing else does; the others share the cores.
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

const LONG = 'test/long/**';
const ALONE = 'test/**/*.alone.test.ts';

const common = {
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // The place of compile-cache.ts, for what does not come to it: the suites, their small programs, and
  // the first files of each program. It is a tenth of the CPU time of a start, and there are hundreds.
  env: { NODE_COMPILE_CACHE: resolve('node_modules/.cache/waygate') },
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [LONG, ALONE],
          // The machine that this is made for has two cores, and programs that start keep them busy.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'alone',
          include: [ALONE],
          exclude: [LONG],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: { ...common, name: 'long', include: [`${LONG}/*.test.ts`], maxWorkers: 1 },
      },
    ],
  },
});
