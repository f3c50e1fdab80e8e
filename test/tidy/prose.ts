// Rules about what people read: README, ARCHITECTURE, CHANGELOG, and every word in the repository.
import type { Rule, Tree } from './tree.ts';

const ARCHITECTURE_LINES_MAX = 150;

/** A stranger's first minutes: see it work, then see that it is sound. */
const FIRST_COMMANDS = ['npm ci && npm start', 'npm ci && npm test'];

/** Words of how the project was written, which say nothing about the project. */
const FOREIGN_WORDS: readonly RegExp[] = [
  /\/work\/(main|shared)\b/,
  /\bhelper[ -]agents?\b/i,
  /\bsub-?agents?\b/i,
  /\bAI (assistant|agent|model)s?\b/i,
  /\blanguage model\b/i,
  /\bclaude\b/i,
  /\bchatgpt\b/i,
  /\bgithub copilot\b/i,
  /\bthis (workplace|sandbox|issue|pull request)\b/i,
  /(^|[^\w#/-])issue #?\d+/i,
];

export const PROSE_RULES: readonly Rule[] = [
  {
    name: 'README begins with the two commands of a stranger',
    why: 'Whoever has Node and two minutes sees it work.',
    check: judgeReadme,
  },
  {
    name: 'commands in the documents exist',
    why: 'A command that fails costs more trust than one that is not mentioned.',
    check: judgeScripts,
  },
  {
    name: 'paths in the documents exist',
    why: 'A document that points to nothing is not read again.',
    check: (tree) => documents(tree).flatMap((document) => missingPaths(tree, document)),
  },
  {
    name: 'ARCHITECTURE.md is read in one sitting',
    why: 'Problem, one request as a walk, invariants; the rest is in the files themselves.',
    check: (tree) => {
      const text = tree.get('ARCHITECTURE.md');
      if (text === undefined) return ['ARCHITECTURE.md: missing'];
      const lines = text.trimEnd().split('\n').length;
      if (lines <= ARCHITECTURE_LINES_MAX) return [];
      return [`ARCHITECTURE.md: ${lines} lines, at most ${ARCHITECTURE_LINES_MAX}`];
    },
  },
  {
    name: 'CHANGELOG.md keeps its form',
    why: 'People and programs look up what changed for them, by version.',
    check: judgeChangelog,
  },
  {
    name: 'the project speaks of itself alone',
    why: 'How and where the text was written is of no use to its readers.',
    check: (tree) => [...tree].flatMap(([path, text]) => foreignWords(path, text)),
  },
];

function documents(tree: Tree): (readonly [string, string])[] {
  return [...tree].filter(([path]) => path.endsWith('.md'));
}

function judgeReadme(tree: Tree): string[] {
  const readme = tree.get('README.md');
  if (readme === undefined) return ['README.md: missing'];
  const found: string[] = [];
  const first = commands(readme).slice(0, FIRST_COMMANDS.length);
  if (first.join('\n') !== FIRST_COMMANDS.join('\n')) {
    found.push(`README.md: begin with ${FIRST_COMMANDS.join(', ')}; found ${first.join(', ')}`);
  }
  if (!(tree.get('.ci/run') ?? '').includes('npm test')) {
    found.push('.ci/run: runs other tests than the README tells; call `npm test`');
  }
  return found;
}

/** The lines of shell blocks, without comments, prompts and what follows a `#`. */
function commands(markdown: string): string[] {
  return [...markdown.matchAll(/```(?:sh|bash|shell|console)\n([\s\S]*?)```/g)].flatMap((block) =>
    (block[1] ?? '')
      .split('\n')
      .map((line) =>
        line
          .replace(/^\$ /, '')
          .replace(/\s+#.*$/, '')
          .trim(),
      )
      .filter((line) => line !== '' && !line.startsWith('#')),
  );
}

function judgeScripts(tree: Tree): string[] {
  const scripts = new Set(
    [...(tree.get('package.json') ?? '').matchAll(/^ {4}"([\w:-]+)": "/gm)].map(
      (match) => match[1],
    ),
  );
  return documents(tree).flatMap(([path, text]) =>
    [...text.matchAll(/\bnpm run ([\w:-]+)/g)]
      .filter((match) => !scripts.has(match[1]))
      .map((match) => `${path}: package.json has no script ${match[1]}`),
  );
}

/** Paths in backquotes may be short, where the text has named the folder. */
function missingPaths(tree: Tree, [path, text]: readonly [string, string]): string[] {
  const paths = [...tree.keys()].map((each) => `/${each}`);
  const mentioned = [
    ...text.matchAll(/`((?:[\w.-]+\/)*[\w.-]+\.(?:ts|md|service|Containerfile))`/g),
  ];
  return [...new Set(mentioned.map((match) => match[1] ?? ''))]
    .filter((name) => !paths.some((each) => each.endsWith(`/${name}`)))
    .map((name) => `${path}: names ${name}, which does not exist`);
}

const SECTIONS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];

function judgeChangelog(tree: Tree): string[] {
  const text = tree.get('CHANGELOG.md');
  if (text === undefined) return ['CHANGELOG.md: missing'];
  const found: string[] = [];
  if (!text.startsWith('# Changelog\n')) found.push('CHANGELOG.md: begin with "# Changelog"');
  const versions = [...text.matchAll(/^## (.*)$/gm)].map((match) => match[1] ?? '');
  if (versions[0] !== '[Unreleased]') found.push('CHANGELOG.md: the first version is [Unreleased]');
  for (const version of versions.slice(1)) {
    if (!/^\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$/.test(version)) {
      found.push(`CHANGELOG.md: "## ${version}" is not "## [1.2.3] - 2026-12-31"`);
    }
  }
  for (const section of text.matchAll(/^### (.*)$/gm)) {
    if (!SECTIONS.includes(section[1] ?? '')) {
      found.push(`CHANGELOG.md: "${section[1]}" is not one of ${SECTIONS.join(', ')}`);
    }
  }
  return found;
}

function foreignWords(path: string, text: string): string[] {
  // This file and its fault test must name the words.
  if (path === 'package-lock.json' || /^test\/tidy(\/prose\.ts|\.faults\.test\.ts)$/.test(path)) {
    return [];
  }
  return text
    .split('\n')
    .flatMap((line, index) =>
      FOREIGN_WORDS.filter((word) => word.test(line)).map(
        (word) => `${path}:${index + 1}: says "${word.exec(line)?.[0]?.trim()}"; say it otherwise`,
      ),
    );
}
