// Which suites run beside each other. One that compares times or counts CPU says so in its name
// (`*.alone.test.ts`) and runs when nothing else does; the others share the cores.
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import { bundlePrograms } from './world/program-bundle.ts';

const LONG = 'test/long/**';
const ALONE = 'test/**/*.alone.test.ts';
/** They leave nothing behind in their process, so that they share one, and what it has loaded. */
const UNITS = ['certs', 'dns', 'relay/protocol'].map((folder) => `test/${folder}/*.test.ts`);

const common = {
  testTimeout: 30_000,
  hookTimeout: 60_000,
};

const programs = await bundlePrograms();

/** Suites that start hundreds of programs get them as a bundle. */
const bundled = {
  ...common,
  provide: { programs },
  // For the programs, and for what does not come to compile-cache.ts: the suites, their small programs.
  env: { NODE_COMPILE_CACHE: programs.compileCache },
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...bundled,
          name: 'units',
          include: UNITS,
          exclude: [ALONE],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...bundled,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [LONG, ALONE, ...UNITS],
          // The machine that this is made for has two cores, and programs that start keep them busy.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...bundled,
          name: 'alone',
          include: [ALONE],
          exclude: [LONG],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // The programs as a vendor starts them, from their sources.
        test: {
          ...common,
          name: 'long',
          include: [`${LONG}/*.test.ts`],
          maxWorkers: 1,
          env: { NODE_COMPILE_CACHE: resolve('node_modules/.cache/waygate') },
        },
      },
    ],
  },
});
