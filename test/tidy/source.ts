// Rules about single source files. Sizes, cycles, exports and promises are Biome's; these are ours.
import { type Rule, type Tree, typescriptFiles } from './tree.ts';

// Names that say nothing about the content, and so attract everything.
const EMPTY_WORDS =
  /^(utils?|help(er|ers)?|managers?|handlers?|services?|common|misc|base|types?|interfaces?|constants?|index|shared|lib)$/;

// Split so that this file does not find itself.
const LEFTOVER = new RegExp(
  `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`,
);
const FOCUSED = /\b(?:it|test|describe|suite|bench)\.only\b/;
const ANY_SKIP = /\b(?:it|test|describe|suite)\.(?:skip|todo|fails|runIf|skipIf)\b.*/;
const SKIP_BY_NEED = /\.skipIf\(\w+\.skip\)/;

// A blob in the repository is downloaded by everyone for ever.
const FILE_BYTES_MAX = 200 * 1024;

export const SOURCE_RULES: readonly Rule[] = [
  {
    name: 'a file is a noun or a verb of the domain',
    why: 'A drawer (utilities, helpers, managers) grows without end; put the code where it is used.',
    check: (tree) => typescriptFiles(tree).flatMap(([path]) => judgeName(path)),
  },
  {
    name: 'a file says what it is',
    why: 'The first lines tell a reader whether to read on.',
    check: (tree) =>
      typescriptFiles(tree)
        .filter(([path, text]) => !path.endsWith('.test.ts') && !/^(#!.*\n)?\/[/*]/.test(text))
        .map(([path]) => `${path}: begin with a comment: what the file is, and its contract`),
  },
  {
    name: 'nothing is left over',
    why: 'Unfinished work is a task or nothing; a focused test switches all others off.',
    check: (tree) => [
      ...findLines(tree, LEFTOVER, () => 'do it, or delete it'),
      ...findLines(tree, FOCUSED, () => 'a focused test; remove .only'),
    ],
  },
  {
    name: 'a test is skipped only for what the machine lacks',
    why: 'A skip that nobody counts is a hole in the gate; requires() counts and reports it.',
    check: (tree) =>
      findLines(tree, ANY_SKIP, (path, line) =>
        !path.endsWith('.test.ts') || SKIP_BY_NEED.test(line)
          ? undefined
          : 'skip with describe.skipIf(need.skip), where need = requires(...)',
      ),
  },
  {
    name: 'a silenced lint says why',
    why: 'An exception without a reason is copied.',
    check: (tree) =>
      findLines(tree, /\/[/*]\s*(biome-ignore|@ts-expect-error|@ts-ignore)/, (_, line) =>
        /biome-ignore(-\w+)? [\w/]+: .{15,}|@ts-expect-error .{15,}/.test(line)
          ? undefined
          : 'add the reason, in at least 15 characters',
      ),
  },
  {
    name: 'every limit has its reason',
    why: 'A number without a reason can be neither trusted nor changed.',
    check: (tree) =>
      typescriptFiles(tree).flatMap(([path, text]) => undocumentedLimits(path, text)),
  },
  {
    name: 'no large files',
    why: 'A blob in the repository is downloaded by everyone for ever.',
    check: (tree) =>
      [...tree]
        .filter(([path, text]) => text.length > FILE_BYTES_MAX && path !== 'package-lock.json')
        .map(([path, text]) => `${path}: ${text.length} characters, at most ${FILE_BYTES_MAX}`),
  },
];

function judgeName(path: string): string[] {
  return path
    .replace(/(\.test|\.faults)*\.ts$/, '')
    .split(/[/.-]/)
    .filter((word) => EMPTY_WORDS.test(word))
    .map((word) => `${path}: '${word}' names nothing; say what it holds or does`);
}

type Judge = (path: string, line: string) => string | undefined;

function findLines(tree: Tree, pattern: RegExp, judge: Judge): string[] {
  return typescriptFiles(tree).flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => {
      const found = pattern.test(line) ? judge(path, line) : undefined;
      return found === undefined ? [] : [`${path}:${index + 1}: ${found}`];
    }),
  );
}

/** Each entry of an object whose name ends in limits must carry a comment, above it or behind it. */
function undocumentedLimits(path: string, text: string): string[] {
  const lines = text.split('\n');
  const findings: string[] = [];
  let name: string | undefined;
  for (const [index, line] of lines.entries()) {
    name ??= /^(?:export )?const (\w*limits)\b.*\{$/i.exec(line)?.[1];
    if (/^\}/.test(line)) name = undefined;
    const key = name === undefined ? undefined : /^ {2}(\w+):/.exec(line)?.[1];
    if (key === undefined) continue;
    const above = lines[index - 1] ?? '';
    // Two that belong together may share a comment: `resetBurst`, `resetsPerSecond`.
    const first = /^\w[a-z]{2,4}/.exec(key)?.[0] ?? key;
    const paired = above.startsWith(`  ${first}`) && /\*\/$|^\s*\/\//.test(lines[index - 2] ?? '');
    const explained = paired || /\*\/$|^\s*\/\//.test(above) || /\/\/|\/\*/.test(line);
    if (!explained) findings.push(`${path}:${index + 1}: say why ${name}.${key} is what it is`);
  }
  return findings;
}
