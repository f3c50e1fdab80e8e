// A rule that checks nothing is worse than none: each one is run over a tree with a planted fault
// and must fire, and over a clean tree and must not.
import { describe, expect, it } from 'vitest';
import { LAYOUT_RULES } from './tidy/layout.ts';
import { NEEDS_RULES } from './tidy/needs.ts';
import { PROSE_RULES } from './tidy/prose.ts';
import { SOURCE_RULES } from './tidy/source.ts';
import type { Tree } from './tidy/tree.ts';

const RULES = [...LAYOUT_RULES, ...SOURCE_RULES, ...PROSE_RULES, ...NEEDS_RULES];

const CLEAN: Readonly<Record<string, string>> = {
  'README.md':
    '# X\n```sh\nnpm ci && npm start   # two minutes\nnpm ci && npm test\n```\nSee `relay/main.ts`.\n',
  'ARCHITECTURE.md': '# How\n',
  'CHANGELOG.md': '# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-31\n\n### Added\n\n- x\n',
  'package.json': '{\n  "scripts": {\n    "bench": "node x"\n  }\n}\n',
  '.ci/run':
    "#!/bin/bash\nneeds='\ncurl curl a visitor that is not ours\n'\nnewer='\nwget-newer wget\n'\nnpm test\n",
  'waygate.ts':
    "#!/usr/bin/env node\n// The command.\nimport { Command } from 'commander';\nimport './relay/main.ts';\n",
  'relay/main.ts':
    "// The relay.\nimport type { Logger } from 'pino';\nimport { frame } from './protocol/frame.ts';\n",
  'relay/protocol/frame.ts': "/** Frames. */\nimport { name } from '../../dns/name.ts';\n",
  'relay/protocol/limits.ts':
    '// Limits.\nexport const PROTOCOL_LIMITS = {\n  /** Because. */\n  framesMax: 1,\n  sizeMax: 2, // because too\n} as const;\n',
  'test/relay/main.test.ts':
    "import { requires } from '../world/requires.ts';\nconst need = requires('curl', 'wget-newer', 'root');\ndescribe.skipIf(need.skip)('x', () => {});\n",
};

interface Fault {
  readonly rule: string;
  readonly path: string;
  /** Undefined takes the file out of the clean tree. */
  readonly text: string | undefined;
  readonly found: RegExp;
}

const FOLDERS = 'folders import only what the layout allows';
const PACKAGES = 'packages enter through their door';
const HOME = 'every TypeScript file has a home';
const NOUN = 'a file is a noun or a verb of the domain';
const LEFT = 'nothing is left over';
const SKIP = 'a test is skipped only for what the machine lacks';
const LINT = 'a silenced lint says why';
const LIMIT = 'every limit has its reason';
const STRANGER = 'README begins with the two commands of a stranger';
const CHANGES = 'CHANGELOG.md keeps its form';
const ALONE = 'the project speaks of itself alone';
const NEEDS = 'CI installs what the suites ask for, and nothing else';

function imports(rule: string, path: string, from: string): Fault {
  const text = `// A file.\nimport { x } from '${from}';\n`;
  return { rule, path, text, found: new RegExp(`^${path}: imports `) };
}

const FAULTS: readonly Fault[] = [
  imports(FOLDERS, 'dns/zone.ts', '../certs/store.ts'),
  imports(FOLDERS, 'certs/order.ts', '../dns/zone.ts'),
  imports(FOLDERS, 'relay/protocol/frame.ts', '../main.ts'),
  imports(FOLDERS, 'relay/protocol/frame.ts', '../entrance/link.ts'),
  imports(FOLDERS, 'relay/entrance/tls.ts', '../registry.ts'),
  imports(FOLDERS, 'relay/main.ts', '../device-client/main.ts'),
  imports(FOLDERS, 'relay/main.ts', '../program.ts'),
  imports(FOLDERS, 'device-client/main.ts', '../relay/registry/registry.ts'),
  imports(FOLDERS, 'try.ts', './test/world/vendor.ts'),
  imports(FOLDERS, 'relay/main.ts', '../test/world/vendor.ts'),
  {
    rule: FOLDERS,
    path: 'device-client/main.ts',
    text: "// A file.\nconst late = await import('../relay/main.ts');\n",
    found: /imports relay\/main\.ts/,
  },
  {
    rule: FOLDERS,
    path: 'device-client/main.ts',
    text: "// A file.\nimport {\n  a,\n  type B,\n} from '../relay/main.ts';\n",
    found: /imports relay\/main\.ts/,
  },
  {
    rule: FOLDERS,
    path: 'device-client/main.ts',
    text: "// A file.\nexport { a } from '../relay/main.ts';\n",
    found: /imports relay\/main\.ts/,
  },
  imports(PACKAGES, 'relay/protocol/session.ts', 'ws'),
  imports(PACKAGES, 'relay/main.ts', 'pino'),
  imports(PACKAGES, 'device-client/arrival.ts', 'undici'),
  imports(PACKAGES, 'relay/main.ts', 'node:child_process'),
  imports(PACKAGES, 'relay/main.ts', 'left-pad'),
  imports(PACKAGES, 'relay/main.ts', '@peculiar/x509/build'),
  { rule: HOME, path: 'deploy/x.ts', text: '// A file.\n', found: /deploy\/x\.ts/ },
  { rule: NOUN, path: 'relay/tunnel-manager.ts', text: '// A file.\n', found: /'manager'/ },
  { rule: NOUN, path: 'relay/utils/copy.ts', text: '// A file.\n', found: /'utils'/ },
  { rule: NOUN, path: 'test/relay/helper.test.ts', text: '// A file.\n', found: /'helper'/ },
  { rule: 'a file says what it is', path: 'dns/x.ts', text: 'let x = 1;\n', found: /dns\/x\.ts/ },
  { rule: LEFT, path: 'dns/x.ts', text: '// To' + 'do is fine, TO' + 'DO is not\n', found: /:1:/ },
  {
    rule: LEFT,
    path: 'test/x.test.ts',
    text: '\ndescribe' + ".only('x')\n",
    found: /x\.test\.ts:2/,
  },
  { rule: SKIP, path: 'test/x.test.ts', text: 'it' + ".skip('x')\n", found: /x\.test\.ts:1/ },
  { rule: SKIP, path: 'test/x.test.ts', text: 'it' + ".skipIf(true)('x')\n", found: /:1/ },
  { rule: LINT, path: 'dns/x.ts', text: '// @ts-' + 'ignore it is too hard\n', found: /:1:/ },
  { rule: LINT, path: 'dns/x.ts', text: '// biome-' + 'ignore lint: why\n', found: /:1:/ },
  {
    rule: LIMIT,
    path: 'dns/limits.ts',
    text: '// Limits.\nexport const DNS_LIMITS = {\n  /** Why. */\n  a: 1,\n  bMs: 2,\n};\n',
    found: /dns\/limits\.ts:5: say why DNS_LIMITS\.bMs/,
  },
  {
    rule: LIMIT,
    path: 'dns/limits.ts',
    text: '// Limits.\nexport const LIMITS = {\n  /** Why. */\n  askMin: 1,\n  askMax: 2,\n  askMs: 3,\n};\n',
    found: /^dns\/limits\.ts:6: say why LIMITS\.askMs is what it is$/,
  },
  { rule: 'no large files', path: 'x.bin', text: 'x'.repeat(300_000), found: /x\.bin/ },
  { rule: STRANGER, path: 'README.md', text: undefined, found: /missing/ },
  { rule: STRANGER, path: 'README.md', text: '```sh\nmake\nnpm start\n```', found: /found make/ },
  { rule: STRANGER, path: '.ci/run', text: 'vitest run\n', found: /^\.ci\/run/ },
  {
    rule: 'commands in the documents exist',
    path: 'deploy/README.md',
    text: 'Call `npm run lunch`.\n',
    found: /no script lunch/,
  },
  {
    rule: 'paths in the documents exist',
    path: 'ARCHITECTURE.md',
    text: 'See `relay/gone.ts`.\n',
    found: /relay\/gone\.ts/,
  },
  {
    rule: 'ARCHITECTURE.md is read in one sitting',
    path: 'ARCHITECTURE.md',
    text: 'line\n'.repeat(151),
    found: /151 lines/,
  },
  { rule: CHANGES, path: 'CHANGELOG.md', text: '# Changes\n\n## [Unreleased]\n', found: /begin/ },
  { rule: CHANGES, path: 'CHANGELOG.md', text: '# Changelog\n\n## 0.1\n', found: /first version/ },
  {
    rule: CHANGES,
    path: 'CHANGELOG.md',
    text: '# Changelog\n\n## [Unreleased]\n\n### Improved\n\n## [0.1] - May\n',
    found: /"## \[0\.1\] - May"/,
  },
  { rule: ALONE, path: 'dns/x.ts', text: '// see /work' + '/main/x\n', found: /dns\/x\.ts:1/ },
  {
    rule: ALONE,
    path: 'SECURITY.md',
    text: 'x\nas asked in issue' + ' 2\n',
    found: /SECURITY\.md:2/,
  },
  { rule: NEEDS, path: 'test/x.test.ts', text: "requires('bash')\n", found: /requires bash/ },
  {
    rule: NEEDS,
    path: '.ci/run',
    text: "needs='\ncurl curl a visitor\nvim vim to edit\n'\nnpm test\n",
    found: /installs vim/,
  },
  { rule: NEEDS, path: '.ci/run', text: "needs='\ncurl curl\n'\nnpm test\n", found: /is not: / },
];

describe('tidy rules', () => {
  it('find nothing in a clean tree', () => {
    const tree: Tree = new Map(Object.entries(CLEAN));
    expect(RULES.flatMap((rule) => rule.check(tree))).toEqual([]);
  });

  it('have a planted fault each', () => {
    const planted = new Set(FAULTS.map((fault) => fault.rule));
    expect(RULES.map((rule) => rule.name).filter((name) => !planted.has(name))).toEqual([]);
  });

  it.each(FAULTS)('$rule: fires for $path, $found', (fault) => {
    const tree = new Map(Object.entries(CLEAN));
    if (fault.text === undefined) tree.delete(fault.path);
    else tree.set(fault.path, fault.text);
    const found = RULES.find((rule) => rule.name === fault.rule)?.check(tree) ?? [];
    expect(found.join('\n')).toMatch(fault.found);
  });
});
