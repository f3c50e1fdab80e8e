// A configuration file: YAML in, a checked object out. Every fault is reported at its place in the
// file (FILE:LINE:COLUMN), all of them at once, each with what to do. Values are never repeated in
// a message: what stands in the wrong place may be a secret.
import { dirname, resolve } from 'node:path';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
} from 'yaml';
import { z } from 'zod';
import { ConfigError, readConfigText } from './config-text.ts';
import { closestWord } from './spelling.ts';

/** Makes the schema; relative paths in the file are meant from `folder`, where the file lies. */
export type ConfigSchema<Config> = (folder: string) => z.ZodType<Config>;

const CONFIG_LIMITS = {
  /** Above this, aliases only serve to blow a small file up (YAML's "billion laughs"). */
  aliasesMax: 100,
  /** A person corrects the first few and tries again. */
  faultsShownMax: 20,
  /** Of an unknown key that is repeated: more than any real one has. */
  keyCharsMax: 40,
} as const;

/** Reads and checks the file, or throws a ConfigError that names every fault. */
export function readConfig<Config>(file: string, schemaIn: ConfigSchema<Config>): Config {
  const text = readConfigText(file);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place: Place = { file, document, lines };
  if (document.errors.length > 0 || document.warnings.length > 0) {
    throw refusal(
      [...document.errors, ...document.warnings].map(({ code, message, pos: [offset] }) =>
        at(place, offset, syntaxSentence(code, message)),
      ),
    );
  }
  if (document.contents === null) {
    throw new ConfigError(`${file}: The file is empty. ${hintRequired(schemaIn('/'))}`);
  }
  const schema = schemaIn(dirname(resolve(file)));
  const result = schema.safeParse(plainValue(place), { reportInput: true });
  if (result.success) return result.data;
  throw refusal(result.error.issues.flatMap((issue) => faults(issue, schema, place)));
}

/** Where faults are looked up. */
interface Place {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

interface Fault {
  readonly offset: number;
  readonly text: string;
}

type Path = readonly PropertyKey[];

function refusal(found: readonly Fault[]): ConfigError {
  const sorted = found.toSorted((a, b) => a.offset - b.offset);
  const shown = sorted.slice(0, CONFIG_LIMITS.faultsShownMax).map(({ text }) => text);
  if (sorted.length > shown.length) shown.push(`and ${sorted.length - shown.length} more.`);
  return new ConfigError(shown.join('\n'));
}

function at({ file, lines }: Place, offset: number, sentence: string): Fault {
  const { line, col } = lines.linePos(offset);
  return { offset, text: `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${sentence}` };
}

const SYNTAX_SENTENCES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'This key stands twice in the same place. Remove one of them.',
  MULTIPLE_DOCS: 'A second document begins here. Remove the line "---" and what follows it.',
  TAB_AS_INDENT: 'A tab is used to indent. Use spaces.',
  TAG_RESOLVE_FAILED: 'This tag is not known here. Remove the word that begins with "!".',
};

function syntaxSentence(code: string, message: string): string {
  return SYNTAX_SENTENCES[code] ?? `This is not valid YAML: ${message.replace(/\.$/, '')}.`;
}

function plainValue(place: Place): unknown {
  const { document, file } = place;
  try {
    return document.toJS({ maxAliasCount: CONFIG_LIMITS.aliasesMax });
  } catch (error) {
    const lost = lostAliases(place);
    if (lost.length > 0) throw refusal(lost);
    const sentence = 'The file has too many aliases (*name). Write the values out.';
    throw new ConfigError(`${file}: ${sentence}`, { cause: error });
  }
}

function lostAliases(place: Place): Fault[] {
  const lost: Fault[] = [];
  visit(place.document, {
    Alias(_, alias) {
      if (alias.resolve(place.document) !== undefined) return;
      const sentence = 'This alias names no anchor. Put a value that begins with * in quotes.';
      lost.push(at(place, offsetOf(alias, 0), sentence));
    },
  });
  return lost;
}

function faults(issue: z.core.$ZodIssue, schema: z.ZodType, place: Place): Fault[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path);
    return issue.keys.map((key) =>
      at(place, keyOffset(place, [...path, key]), unknownKeySentence(key, path, known)),
    );
  }
  const missing = issue.input === undefined && path.length > 0;
  const offset = missing ? keyOffset(place, path.slice(0, -1)) : valueOffset(place, path);
  return [at(place, offset, `${subject(path)} ${issueWords(issue, missing)}`)];
}

function subject(path: Path): string {
  if (path.length === 0) return 'The file';
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}

function unknownKeySentence(key: string, path: Path, known: readonly string[]): string {
  const max = CONFIG_LIMITS.keyCharsMax;
  const shown = key.length <= max ? key : `${key.slice(0, max)}...`;
  const where = path.length === 0 ? 'here' : `in ${subject(path)}`;
  const near = closestWord(key.slice(0, max), known);
  if (near !== undefined) return `"${shown}" is not known ${where}. Did you mean "${near}"?`;
  const hint = known.length === 0 ? 'Remove it.' : `Known are: ${known.join(', ')}.`;
  return `"${shown}" is not known ${where}. ${hint}`;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a group of settings (NAME: VALUE, indented)',
  array: 'a list (lines that begin with "- ")',
};

/** The end of a sentence that begins with the name of the setting. */
function issueWords(issue: z.core.$ZodIssue, missing: boolean): string {
  switch (issue.code) {
    case 'invalid_type': {
      const wanted = KINDS[issue.expected] ?? issue.expected;
      if (missing) return `is missing. Add it; it must be ${wanted}.`;
      return `must be ${wanted}, not ${kindOf(issue.input, wanted)}.`;
    }
    case 'too_small':
      return `must ${sizeWords(issue.origin)} at least ${issue.minimum}${unitWords(issue.origin)}.`;
    case 'too_big':
      return `must ${sizeWords(issue.origin)} at most ${issue.maximum}${unitWords(issue.origin)}.`;
    case 'invalid_value':
      return `must be one of: ${issue.values.map(String).join(', ')}.`;
    default:
      return issue.message;
  }
}

function sizeWords(origin: string): string {
  return origin === 'array' || origin === 'string' ? 'have' : 'be';
}

function unitWords(origin: string): string {
  if (origin === 'array') return ' entries';
  return origin === 'string' ? ' characters' : '';
}

function kindOf(value: unknown, wanted: string): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'text';
  if (typeof value === 'object') return 'a group of settings';
  const quotes = wanted === KINDS['string'] ? ' (put text in quotes)' : '';
  if (typeof value === 'boolean') return `true or false${quotes}`;
  return Number.isInteger(value) ? `a number${quotes}` : `a number with a fraction${quotes}`;
}

/** Where the value at the path stands, or the nearest thing around it that has a place. */
function valueOffset(place: Place, path: Path): number {
  return offsets(place, path).value;
}

function keyOffset(place: Place, path: Path): number {
  return offsets(place, path).key;
}

function offsets(
  { document }: Place,
  path: Path,
): { readonly key: number; readonly value: number } {
  let node: unknown = document.contents;
  let value = offsetOf(node, 0);
  let key = value;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === String(step));
      if (pair === undefined) break;
      key = offsetOf(pair.key, value);
      value = offsetOf(pair.value, key);
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      value = offsetOf(node, value);
      key = value;
    } else break;
  }
  return { key, value };
}

function offsetOf(node: unknown, otherwise: number): number {
  return (isNode(node) ? node.range?.[0] : undefined) ?? otherwise;
}

/** The keys that the schema knows at the path. */
function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  let current = unwrapped(schema);
  for (const step of path) {
    if (current instanceof z.ZodObject) {
      const next: z.core.$ZodType | undefined = current.shape[String(step)];
      if (next === undefined) return [];
      current = unwrapped(next);
    } else if (current instanceof z.ZodArray) current = unwrapped(current.element);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodPipe) return unwrapped(schema.in);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return unwrapped(schema.def.innerType);
  }
  return schema;
}

function hintRequired(schema: z.ZodType): string {
  const result = schema.safeParse({}, { reportInput: true });
  const names = result.success ? [] : result.error.issues.map(({ path }) => subject(path));
  return `Write at least: ${names.join(', ')}.`;
}
