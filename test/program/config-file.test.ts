import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readConfig } from '../../config-file.ts';
import { ConfigError } from '../../config-text.ts';
import { requires } from '../world/requires.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const schema = (base: string) =>
  z.strictObject({
    zone: z.string(),
    listen: z
      .strictObject({ host: z.string().default('::'), port: z.int().min(0).max(65_535).default(1) })
      .prefault({}),
    accessLog: z.boolean().default(true),
    mode: z.enum(['near', 'far']).optional(),
    key: z
      .string()
      .transform((path) => resolve(base, path))
      .optional(),
    items: z.array(z.strictObject({ name: z.string() })).default([]),
  });

let files = 0;
function write(content: string | Uint8Array): string {
  files += 1;
  const file = join(folder, `file-${files}.yaml`);
  writeFileSync(file, content);
  return file;
}

/** The lines of the refusal, with FILE in place of the path. */
function refused(content: string | Uint8Array): string[] {
  const file = write(content);
  return refusedFile(file).map((line) => line.replaceAll(file, 'FILE'));
}

function refusedFile(file: string): string[] {
  try {
    readConfig(file, schema);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n');
    throw error;
  }
  throw new Error('The configuration was accepted.');
}

describe('a configuration file', () => {
  it('is read, with defaults, and with paths from where it lies', () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner);
    writeFileSync(join(inner, 'a.yaml'), 'zone: vendor.dev\nkey: keys/a.key\n');
    expect(readConfig(join(inner, 'a.yaml'), schema)).toEqual({
      zone: 'vendor.dev',
      listen: { host: '::', port: 1 },
      accessLog: true,
      key: join(inner, 'keys/a.key'),
      items: [],
    });
  });

  it('may be reached by a link, have a byte order mark, comments, anchors', () => {
    const file = write('\u{feff}# hello\nzone: &z vendor.dev\nkey: *z\n');
    const link = join(folder, 'link.yaml');
    symlinkSync(file, link);
    expect(readConfig(link, schema)).toMatchObject({ zone: 'vendor.dev' });
  });

  it('is told every fault at once, in the order of the file, each at its place', () => {
    expect(
      refused('zoen: a\nlisten:\n  prt: 3\n  port: "x"\naccessLog: 1\nitems:\n  - nam: a\n'),
    ).toEqual([
      'FILE:1:1: zone is missing. Add it; it must be text.',
      'FILE:1:1: "zoen" is not known here. Did you mean "zone"?',
      'FILE:3:3: "prt" is not known in listen. Did you mean "port"?',
      'FILE:4:9: listen.port must be a number, not text.',
      'FILE:5:12: accessLog must be true or false, not a number.',
      'FILE:7:5: items[0].name is missing. Add it; it must be text.',
      'FILE:7:5: "nam" is not known in items[0]. Did you mean "name"?',
    ]);
  });

  it.each([
    ['zone: a\nlisten: {port: 70000}', 'FILE:2:16: listen.port must be at most 65535.'],
    ['zone: a\nlisten: {port: -1}', 'FILE:2:16: listen.port must be at least 0.'],
    [
      'zone: a\nlisten: {port: 1.5}',
      'FILE:2:16: listen.port must be a whole number, not a number with a fraction.',
    ],
    ['zone: a\nmode: middle', 'FILE:2:7: mode must be one of: near, far.'],
    ['zone:', 'FILE:1:6: zone must be text, not empty.'],
    ['zone: 12', 'FILE:1:7: zone must be text, not a number (put text in quotes).'],
    ['zone: [a]', 'FILE:1:7: zone must be text, not a list.'],
    [
      'zone: a\nlisten: x',
      'FILE:2:9: listen must be a group of settings (NAME: VALUE, indented), not text.',
    ],
    [
      'zone: a\nitems: {}',
      'FILE:2:8: items must be a list (lines that begin with "- "), not a group of settings.',
    ],
    [
      'just words',
      'FILE:1:1: The file must be a group of settings (NAME: VALUE, indented), not text.',
    ],
    [
      'zone: a\nxyzzy: 1',
      'FILE:2:1: "xyzzy" is not known here. Known are: zone, listen, accessLog, mode, key, items.',
    ],
    ['zone: a\nzone: b', 'FILE:2:1: This key stands twice in the same place. Remove one of them.'],
    [
      'zone: a\n---\nzone: b',
      'FILE:2:1: A second document begins here. Remove the line "---" and what follows it.',
    ],
    [
      'zone: !secret a',
      'FILE:1:7: This tag is not known here. Remove the word that begins with "!".',
    ],
    [
      'zone: *nowhere',
      'FILE:1:7: This alias names no anchor. Put a value that begins with * in quotes.',
    ],
    ['', 'FILE: The file is empty. Write at least: zone.'],
    ['# only words\n', 'FILE: The file is empty. Write at least: zone.'],
  ])('%j is refused in one sentence', (content, sentence) => {
    expect(refused(content)).toEqual([sentence]);
  });

  it('with broken YAML is told where', () => {
    const [first] = refused('zone: "a\nlisten:\n');
    expect(first).toMatch(/^FILE:\d+:\d+: This is not valid YAML: /);
  });

  it('with bytes that are no UTF-8 is refused', () => {
    const bytes = Buffer.concat([Buffer.from('zone: '), Buffer.from([0xff, 0xfe])]);
    expect(refused(bytes)).toEqual([
      'FILE: The file is not UTF-8 text. Save it as UTF-8, or check the path.',
    ]);
  });

  it('of more than 1 MiB is refused, of 1 MiB is read', () => {
    const start = 'zone: a\n#';
    const fits = write(start + 'x'.repeat(1_048_576 - start.length));
    expect(readConfig(fits, schema)).toMatchObject({ zone: 'a' });
    expect(refused(start + 'x'.repeat(1_048_577 - start.length))).toEqual([
      'FILE: The file has 1048577 bytes, but a configuration has at most 1048576. Check the path.',
    ]);
  });

  it('that blows up by aliases is refused', () => {
    const levels = Array.from('bcdefghij', (letter, at) => {
      const before = 'abcdefghi'[at];
      return `${letter}: &${letter} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]`;
    });
    expect(refused(`a: &a x\n${levels.join('\n')}\n`)).toEqual([
      'FILE: The file has too many aliases (*name). Write the values out.',
    ]);
  });

  it('that is absent, a directory, or a pipe that nobody writes is refused', () => {
    const missing = join(folder, 'none.yaml');
    expect(refusedFile(missing)).toEqual([
      `${missing}: There is no such file. Check the path given with --config.`,
    ]);
    expect(refusedFile(folder)).toEqual([
      `${folder}: This is a directory. Give the path of a YAML file.`,
    ]);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(refusedFile(pipe)).toEqual([
      `${pipe}: This is no regular file. Give the path of a YAML file.`,
    ]);
  });

  it('never has its values repeated, for one may be a secret in the wrong place', () => {
    const lines = refused('zone: [hunter2]\nlisten: {port: hunter2}\nmode: hunter2\n');
    expect(lines).toHaveLength(3);
    expect(lines.join('\n')).not.toContain('hunter2');
  });

  it('shows the first twenty faults and counts the rest', () => {
    const lines = refused(Array.from({ length: 30 }, (_, at) => `k${at}: 1`).join('\n'));
    expect(lines).toHaveLength(21);
    expect(lines[20]).toBe('and 11 more.');
  });

  it('with any content is read, or refused with a ConfigError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.json().map((text) => `zone: a\nitems: ${text}`),
        ),
        (content) => {
          const file = write(content);
          try {
            readConfig(file, schema);
          } catch (error) {
            expect(error).toBeInstanceOf(ConfigError);
          } finally {
            rmSync(file);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

const unprivileged = requires('setpriv');

describe.skipIf(unprivileged.skip)('a configuration file of somebody else', () => {
  it('is refused with what to change', () => {
    const file = write('zone: a\n');
    chmodSync(file, 0o000);
    const script = `
      import { readConfig } from ${JSON.stringify(resolve('config-file.ts'))};
      try { readConfig(process.argv[1], undefined); } catch (error) { process.stdout.write(error.message); }`;
    chmodSync(folder, 0o755);
    const args = ['--input-type=module', '-e', script, file];
    const root = process.getuid?.() === 0;
    const said = root
      ? execFileSync('setpriv', ['--reuid=65534', '--clear-groups', process.execPath, ...args])
      : execFileSync(process.execPath, args);
    expect(said.toString()).toBe(
      `${file}: The file may not be read by this user. Change its owner or mode (chmod).`,
    );
  });
});
