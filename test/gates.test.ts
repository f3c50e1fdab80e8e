// The tools behind `npm run check` must fail when they should: a tree with planted faults goes
// through Biome, tsc and knip with our own settings. Nursery rules may change their names.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = process.cwd();
const SETTINGS = ['biome.json', 'package.json', 'tsconfig.json', '.gitignore'];

const PARAMETERS = 'a: number, b: number, c: number, d: number, e: number';
const LONG_FUNCTION = `export function long(): void {\n${'  void 0;\n'.repeat(61)}}\n`;

/** One planted file for each rule that must stop a commit; the file is named for what it does. */
const LINT_FAULTS: readonly (readonly [rule: string, path: string, text: string])[] = [
  ['noBarrelFile', 'dns/barrel.ts', "export { one } from './one.ts';\n"],
  ['noReExportAll', 'dns/all.ts', "export * from './one.ts';\n"],
  ['noDefaultExport', 'dns/default.ts', 'export default function x(): void {}\n'],
  ['noExcessiveLinesPerFile', 'dns/long-file.ts', 'export {};\n'.repeat(301)],
  ['noExcessiveLinesPerFile', 'test/long-file.ts', 'export {};\n'.repeat(401)],
  ['noExcessiveLinesPerFunction', 'dns/long-function.ts', LONG_FUNCTION],
  ['useMaxParams', 'dns/parameters.ts', `export function f(${PARAMETERS}): void {}\n`],
  ['noProcessEnv', 'dns/environment.ts', "export const home = process.env['HOME'];\n"],
  ['noConsole', 'dns/console.ts', "console.log('x');\n"],
  ['noImportCycles', 'dns/one.ts', "import { two } from './two.ts';\nexport const one = two;\n"],
  ['noImportCycles', 'dns/two.ts', "import { one } from './one.ts';\nexport const two = one;\n"],
  ['noFloatingPromises', 'dns/floating.ts', 'async function f(): Promise<void> {}\nf();\n'],
  [
    'noMisusedPromises',
    'dns/misused.ts',
    'async function f(): Promise<boolean> {\n  return true;\n}\nif (f()) process.exit();\n',
  ],
  [
    'useExhaustiveSwitchCases',
    'dns/switch.ts',
    "export function f(kind: 'a' | 'b'): void {\n  switch (kind) {\n    case 'a':\n      break;\n  }\n}\n",
  ],
  ['noExplicitAny', 'dns/any.ts', 'export const x: any = 1;\n'],
  ['noNonNullAssertion', 'dns/bang.ts', 'export const x = [1][0]!;\n'],
  ['useThrowOnlyError', 'dns/throw.ts', "export function f(): void {\n  throw 'x';\n}\n"],
  [
    'noEmptyBlockStatements',
    'dns/swallow.ts',
    'try {\n  f();\n} catch {}\nfunction f(): void {}\n',
  ],
  ['noUndeclaredDependencies', 'dns/dev-only.ts', "import 'vitest';\n"],
  ['useFilenamingConvention', 'dns/CamelCase.ts', 'export const x = 1;\n'],
  ['noFocusedTests', 'test/focused.test.ts', 'it' + ".only('x', () => {});\n"],
  ['noSkippedTests', 'test/skipped.test.ts', 'it' + ".skip('x', () => {});\n"],
];

const TYPE_FAULTS: readonly (readonly [code: string, path: string, text: string])[] = [
  ['TS1294', 'certs/enum.ts', 'export enum Kind {\n  A,\n}\n'],
  ['TS2375', 'certs/optional.ts', 'export const x: { a?: number } = { a: undefined };\n'],
  ['TS2532', 'certs/unchecked.ts', 'export const x: number = [1].slice(1)[0].valueOf();\n'],
];

let planted = '';

beforeAll(() => {
  planted = mkdtempSync(join(tmpdir(), 'waygate-gates-'));
  for (const file of SETTINGS) cpSync(join(ROOT, file), join(planted, file));
  symlinkSync(join(ROOT, 'node_modules'), join(planted, 'node_modules'));
  for (const [, path, text] of [...LINT_FAULTS, ...TYPE_FAULTS]) plant(path, text);
  plant('waygate.ts', "import './dns/one.ts';\n");
  plant('test/bench/main.ts', '// Nothing.\n');
});

afterAll(() => rmSync(planted, { recursive: true, force: true }));

describe('npm run check', () => {
  it('fails for every fault that Biome must find', () => {
    const output = run('biome', 'lint', '--max-diagnostics=none', '--reporter=github', '.');
    const found = LINT_FAULTS.filter(([rule, path]) =>
      output.split('\n').some((line) => line.includes(`/${rule},`) && line.includes(path)),
    );
    expect(LINT_FAULTS.filter((fault) => !found.includes(fault))).toEqual([]);
  });

  it('fails for what Node cannot run and for types that lie', () => {
    const output = run('tsc', '--pretty', 'false');
    for (const [code, path] of TYPE_FAULTS) expect(output).toMatch(new RegExp(`${path}.*${code}`));
  });

  it('fails for unused files, exports and dependencies', () => {
    const output = run('knip', '--no-progress', '--reporter', 'compact');
    expect(output).toContain('dns/barrel.ts');
    expect(output).toContain('commander');
    expect(output).toMatch(/Unused (files|dependencies)/);
  });

  it('is what package.json runs, and warnings count', () => {
    const scripts: unknown = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(scripts).toMatchObject({
      scripts: { check: 'tsc && biome check --error-on-warnings && knip' },
    });
  });
});

function plant(path: string, text: string): void {
  mkdirSync(dirname(join(planted, path)), { recursive: true });
  writeFileSync(join(planted, path), text);
}

/** Output of a tool that must fail in the planted tree. */
function run(tool: string, ...args: readonly string[]): string {
  const program = join(ROOT, 'node_modules/.bin', tool);
  const result = spawnSync(program, args, { cwd: planted, encoding: 'utf8', timeout: 60_000 });
  expect(result.status, `${tool} ${result.stdout}${result.stderr}`).not.toBe(0);
  return result.stdout + result.stderr;
}
