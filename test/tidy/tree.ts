// The repository as the tidy rules see it: path to text, in one read. A rule is a function over such
// a map, so that its own test can hand it a planted tree.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths are relative to the root, with `/`. */
export type Tree = ReadonlyMap<string, string>;

export interface Rule {
  readonly name: string;
  /** What the rule keeps out; printed with its findings. */
  readonly why: string;
  /** Findings as `path: what is wrong and what to do instead`. Empty when all is well. */
  check(tree: Tree): string[];
}

// Not ours: made by tools, or by running the programs.
const OUTSIDE = new Set(['node_modules', '.git', '.waygate', 'bench-results']);

/** Reads every file below `root` but what tools and runs leave there. */
export function readTree(root: string): Tree {
  const tree = new Map<string, string>();
  readFolder(root, '', tree);
  return tree;
}

/** The TypeScript files, as [path, text]. */
export function typescriptFiles(tree: Tree): (readonly [string, string])[] {
  return [...tree].filter(([path]) => path.endsWith('.ts'));
}

function readFolder(root: string, folder: string, tree: Map<string, string>): void {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (OUTSIDE.has(entry.name) || entry.name.endsWith('.log')) continue;
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) readFolder(root, path, tree);
    else if (entry.isFile()) tree.set(path, readFileSync(join(root, path), 'utf8'));
  }
}
