// The list of programs that .ci/run installs is exactly what the suites ask for with requires().
import type { Rule, Tree } from './tree.ts';

const LIST = /^needs='\n([\s\S]*?)^'$/m;
/** Programs of Debian's next release: suites ask for them, or look whether they are there. */
const NEWER = /^newer='\n([\s\S]*?)^'$/m;
const REQUIRES = /\brequires\(([^)]*)\)/g;
/** Lists that several suites share: `...NETWORK_PROGRAMS`. */
const SHARED = /export const (\w+_PROGRAMS) = \[([^\]]*)\]/g;

export const NEEDS_RULES: readonly Rule[] = [
  {
    name: 'CI installs what the suites ask for, and nothing else',
    why: 'A program that is not installed fails the suite in CI; one that is not asked for is waste.',
    check: judgeNeeds,
  },
];

function judgeNeeds(tree: Tree): string[] {
  const list = LIST.exec(tree.get('.ci/run') ?? '')?.[1];
  if (list === undefined) return [".ci/run: has no list needs='...'"];
  const lines = list.split('\n').filter((line) => line.trim() !== '');
  const unreasoned = lines.filter((line) => line.trim().split(/\s+/).length < 4);
  const installed = new Set(lines.map((line) => line.trim().split(/\s+/)[0] ?? ''));
  const asked = askedPrograms(tree);
  const newer = new Set(NEWER.exec(tree.get('.ci/run') ?? '')?.[1]?.match(/^\S+/gm));
  return [
    ...unreasoned.map((line) => `.ci/run: "${line}" is not: program, package, why`),
    ...[...asked]
      .filter(([program]) => !installed.has(program) && !newer.has(program))
      .map(notInstalled),
    ...[...installed]
      .filter((program) => !asked.has(program))
      .map((program) => `.ci/run: installs ${program}, which no suite asks for with requires()`),
  ];
}

function notInstalled([program, path]: readonly [string, string]): string {
  return `${path}: requires ${program}, which .ci/run does not install; add it to needs`;
}

/** Program by a test file that asks for it. `root` is a condition, not a program. */
function askedPrograms(tree: Tree): Map<string, string> {
  const asked = new Map<string, string>();
  const shared = sharedLists(tree);
  for (const [path, text] of tree) {
    if (!path.startsWith('test/') || !path.endsWith('.test.ts')) continue;
    if (path.includes('/tidy')) continue;
    for (const call of text.matchAll(REQUIRES)) {
      const words = (call[1] ?? '').replace(/\.\.\.(\w+)/g, (_, name) => shared.get(name) ?? name);
      for (const word of words.matchAll(/'([^']+)'/g)) {
        if (word[1] !== undefined && word[1] !== 'root') asked.set(word[1], path);
      }
    }
  }
  return asked;
}

/** The text between the brackets, by the name of the list. */
function sharedLists(tree: Tree): ReadonlyMap<string, string> {
  const lists = new Map<string, string>();
  for (const [path, text] of tree) {
    if (!path.startsWith('test/')) continue;
    for (const [, name, words] of text.matchAll(SHARED)) lists.set(name ?? '', words ?? '');
  }
  return lists;
}
