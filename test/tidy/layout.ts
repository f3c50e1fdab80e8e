// Who may import whom: the graph between our folders, and the door of each package.
import { posix } from 'node:path';
import { type Rule, type Tree, typescriptFiles } from './tree.ts';

interface Unit {
  /** Files of the unit; the first unit that matches owns a file, so narrow ones come first. */
  readonly files: RegExp;
  /** What its files may import of ours. */
  readonly mayImport: RegExp;
  readonly words: string;
}

const UNITS: readonly Unit[] = [
  { files: /^test\//, mayImport: /^/, words: 'everything' },
  { files: /^dns\//, mayImport: /^dns\//, words: 'only dns/' },
  { files: /^certs\//, mayImport: /^(certs\/|dns\/name\.ts$)/, words: 'certs/ and dns/name.ts' },
  {
    files: /^relay\/protocol\//,
    mayImport: /^(relay\/protocol\/|dns\/name\.ts$)/,
    words: 'relay/protocol/ and dns/name.ts',
  },
  {
    files: /^relay\/entrance\//,
    mayImport: /^(relay\/(entrance|protocol)\/|certs\/|dns\/name\.ts$)/,
    words: 'relay/entrance/, relay/protocol/, certs/ and dns/name.ts',
  },
  { files: /^relay\//, mayImport: /^(relay|certs|dns)\//, words: 'relay/, certs/ and dns/' },
  {
    files: /^device-client\//,
    mayImport: /^(device-client\/|relay\/(protocol|entrance)\/|dns\/|certs\/)/,
    words: 'device-client/, relay/protocol/, relay/entrance/, dns/ and certs/',
  },
  { files: /^[^/]+$/, mayImport: /^(?!test\/)/, words: 'everything but test/' },
];

interface Door {
  /** The only files of ours through which the package enters; test/ may import anything. */
  readonly files: RegExp;
  readonly why: string;
  /** `import type` costs nothing at run time; true where everyone may use the package's types. */
  readonly typesAnywhere?: true;
}

const TEST_ONLY = /^test\//;
const PORTAL = /^relay\/portal\/[a-z-]+\.ts$/;
const CONFIG =
  /^(config-file\.ts|(relay\/portal|device-client)\/config\.ts|(relay|dns)\/([a-z]+-)?config\.ts)$/;

const DOORS: Readonly<Record<string, Door>> = {
  ws: {
    files:
      /^(relay\/admission|relay\/protocol\/websocket-wire|device-client\/(tunnel|sample))\.ts$/,
    why: 'one end accepts, one dials, one file makes a wire of it; the sample workspace echoes',
  },
  jose: {
    files: /^relay\/(protocol\/(key|hello|token)|access\/[a-z-]+)\.ts$/,
    why: 'what is signed and verified must be readable in one place',
  },
  kysely: {
    files: /^relay\/registry\//,
    why: 'nothing else knows that the registry is a database',
    typesAnywhere: true,
  },
  'node:sqlite': {
    files: /^relay\/registry\/(sqlite[a-z-]*|database)\.ts$/,
    why: 'nothing else knows which database it is',
  },
  pg: {
    files: /^relay\/registry\/postgres[a-z-]*\.ts$/,
    why: 'nothing else knows which database it is',
  },
  fastify: {
    files: /^relay\/portal\/[a-z-]+\.ts$/,
    why: 'an API is not the data path',
    typesAnywhere: true,
  },
  '@fastify/formbody': { files: PORTAL, why: 'only the portal has forms' },
  '@fastify/rate-limit': { files: PORTAL, why: 'the data path has bounds of its own' },
  '@fastify/swagger': { files: PORTAL, why: 'the OpenAPI document is made of the routes' },
  'openid-client': { files: /^relay\/portal\/oidc\.ts$/, why: 'one place signs people in' },
  nodemailer: { files: /^relay\/portal\/mail\.ts$/, why: 'one place sends mail' },
  tldts: {
    files: /^relay\/registered-domain\.ts$/,
    why: 'one list of public suffixes, asked in one place',
  },
  semver: { files: /^relay\/software-policy\.ts$/, why: 'versions are compared in one place' },
  uqr: { files: /^device-claim\.ts$/, why: 'only a terminal shows a QR code' },
  commander: { files: /^waygate[a-z-]*\.ts$/, why: 'the command line ends where a program begins' },
  yaml: { files: /^config-file\.ts$/, why: 'one reader of configuration files' },
  zod: { files: CONFIG, why: 'the border of configuration; wire bytes have parsers of their own' },
  pino: {
    files: /^(log|program)\.ts$/,
    why: 'parts are handed a logger and never make one',
    typesAnywhere: true,
  },
  'pino-pretty': {
    files: /^(log|program)\.ts$/,
    why: 'only a program knows whether a person reads',
  },
  'prom-client': {
    files: /^(program|([a-z-]+\/)+metrics|relay\/main|device-client\/main)\.ts$/,
    why: 'parts count with plain numbers; a program gives them names',
    typesAnywhere: true,
  },
  '@peculiar/x509': { files: /^certs\//, why: 'X.509 lives in certs/' },
  'reflect-metadata': { files: /^certs\//, why: '@peculiar/x509 needs it loaded first' },
  dns2: { files: /^dns\/codec\.ts$/, why: 'a codec behind our own admission gate' },
  'acme-client': {
    files: /^certs\/acme-account\.ts$/,
    why: 'one ACME client behind our own contract',
  },
  'node:child_process': {
    files: /^try-process\.ts$/,
    why: 'no program of ours starts another but try',
  },
  undici: { files: TEST_ONLY, why: 'a visitor in tests; our own path uses plain sockets' },
  'playwright-core': { files: TEST_ONLY, why: 'a browser in tests' },
  'fast-check': { files: TEST_ONLY, why: 'properties are tests' },
  vitest: { files: TEST_ONLY, why: 'tests' },
};

/** Node's own modules are free to all but those that have a door above. */
const FREE = /^node:/;

export const LAYOUT_RULES: readonly Rule[] = [
  {
    name: 'folders import only what the layout allows',
    why: 'The graph between folders has no cycles and the device never links the relay.',
    check: (tree) => imports(tree).flatMap(judgeFolder),
  },
  {
    name: 'packages enter through their door',
    why: 'A package that can be replaced, or must be watched, is named in one file.',
    check: (tree) => imports(tree).flatMap(judgePackage),
  },
  {
    name: 'every TypeScript file has a home',
    why: 'deploy/ has no TypeScript, and a new folder is a decision for the table of units.',
    check: (tree) =>
      typescriptFiles(tree)
        .filter(([path]) => unitOf(path) === undefined)
        .map(([path]) => `${path}: belongs to no unit; move it, or add the folder to the table`),
  },
];

interface Import {
  readonly file: string;
  /** The package or module name, or our file's path from the root. */
  readonly target: string;
  readonly ours: boolean;
  readonly typeOnly: boolean;
}

// `import x from 'y'`, `import 'y'`, `export … from 'y'`, `import('y')`, over several lines too.
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^'";]*?from\s*'([^']+)'|(?:^|\n)\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;

function imports(tree: Tree): Import[] {
  return typescriptFiles(tree).flatMap(([file, text]) =>
    [...text.matchAll(IMPORT)].map((match) => {
      const specifier = match[2] ?? match[3] ?? match[4] ?? '';
      const ours = specifier.startsWith('.');
      const target = ours ? posix.join(posix.dirname(file), specifier) : packageName(specifier);
      return { file, target, ours, typeOnly: match[1] !== undefined };
    }),
  );
}

function packageName(specifier: string): string {
  const parts = specifier.split('/');
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
}

function unitOf(path: string): Unit | undefined {
  return UNITS.find((unit) => unit.files.test(path));
}

function judgeFolder({ file, target, ours }: Import): string[] {
  const unit = unitOf(file);
  if (!ours || unit === undefined || unit.mayImport.test(target)) return [];
  // Whoever names our version reads it there.
  if (target === 'package.json') return [];
  return [`${file}: imports ${target}; it may import ${unit.words}`];
}

function judgePackage({ file, target, ours, typeOnly }: Import): string[] {
  if (ours || file.startsWith('test/')) return [];
  const door = DOORS[target];
  if (door === undefined) {
    if (FREE.test(target)) return [];
    return [`${file}: imports ${target}, which has no door; decide where it enters and why`];
  }
  if (door.files.test(file) || (typeOnly && door.typesAnywhere === true)) return [];
  return [`${file}: imports ${target}, which enters by ${door.files.source} (${door.why})`];
}
