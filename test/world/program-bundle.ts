// The programs of the command line in one file for each part, instead of the fourteen hundred that Node looks
// for at every start of a relay: that is two thirds of the CPU time of a start, and the suites start hundreds.
// The same sources and packages, and the same lazy parts. What the installation itself is about (test/deploy,
// test/program/cli, test/long) runs the sources as a vendor does.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { type OutputOptions, type RolldownOptions, rolldown } from 'rolldown';
import { madeOnce } from './made-once.ts';

/** Below node_modules, where the programs find the packages that stay as they are. */
const PLACE = resolve('node_modules/.cache/waygate-bundles');

/** A run that uses a bundle is over by then; each change of the sources makes another one. */
const KEPT_MS = 2 * 3_600_000;

const SPAWNED = "new URL('waygate.ts', import.meta.url)";

const INPUT: RolldownOptions = {
  input: { waygate: 'waygate.ts', 'verb-host': 'test/world/verb-host-program.ts' },
  platform: 'node',
  // It finds files of its own by its place.
  external: /^pino/,
  logLevel: 'silent',
  plugins: [
    {
      name: 'waygate try starts the bundle too',
      transform(code, id) {
        if (!id.endsWith('/try-process.ts')) return null;
        if (!code.includes(SPAWNED)) this.error(`${id} does not say ${SPAWNED} any more.`);
        return code.replace(SPAWNED, SPAWNED.replace('.ts', '.js'));
      },
    },
  ],
};

const OUTPUT: OutputOptions = {
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
};

export interface ProgramBundle {
  /** Stands for waygate.ts. */
  readonly waygate: string;
  /** Stands for verb-host-program.ts. */
  readonly verbHost: string;
  /** For NODE_COMPILE_CACHE: it goes when the bundle goes. */
  readonly compileCache: string;
}

/** Made anew when it would differ from those that are there. */
export async function bundlePrograms(): Promise<ProgramBundle> {
  const bundle = await rolldown(INPUT);
  const { output } = await bundle.generate(OUTPUT);
  const hash = createHash('sha256');
  const files = output.map((file): [string, string | Uint8Array] => [
    file.fileName,
    file.type === 'chunk' ? file.code : file.source,
  ]);
  for (const [name, code] of files) hash.update(`${name}\n`).update(code);
  const folder = join(PLACE, hash.digest('hex').slice(0, 16));
  madeOnce(folder, (made) => write(made, files));
  utimesSync(folder, new Date(), new Date());
  forgetOld();
  return {
    waygate: join(folder, 'waygate.js'),
    verbHost: join(folder, 'verb-host.js'),
    compileCache: join(folder, 'compiled'),
  };
}

function write(folder: string, files: readonly [string, string | Uint8Array][]): void {
  mkdirSync(folder);
  // Readable to programs that run as nobody.
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  for (const [name, code] of files) writeFileSync(join(folder, name), code);
}

function forgetOld(): void {
  for (const name of readdirSync(PLACE)) {
    const folder = join(PLACE, name);
    const usedMs = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - usedMs > KEPT_MS) rmSync(folder, { recursive: true, force: true });
  }
}
