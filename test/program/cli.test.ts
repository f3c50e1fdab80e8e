import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';
import release from '../../package.json' with { type: 'json' };
import { generateKey } from '../../relay/protocol/key.ts';
import { runVerb } from '../world/verb.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function waygate(...args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [resolve('waygate.ts'), ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: Number(code), stdout, stderr };
}

const vendorKey = generateKey('vendor').publicKey.text;
const relayYaml = join(folder, 'relay.yaml');
writeFileSync(relayYaml, 'zone: vendor.dev\nstate: relay-state\n');
const deviceYaml = join(folder, 'device.yaml');
writeFileSync(
  deviceYaml,
  `relay: {url: wss://tunnel.vendor.dev/, vendorKey: '${vendorKey}'}
key: keys/device.key
workspaces: [{name: code, target: http://127.0.0.1:8080}]
`,
);

/** Where a process each is needed no more: the same command line, many times in one process. */
const inOne = (line: string) => runVerb(...line.split(' ').filter(Boolean));

describe('the command line', () => {
  it('explains every command with examples, on stdout', async () => {
    expect((await waygate('--help')).stdout).toContain('Examples:\n  waygate ');
    for (const words of [[], ['try'], ['relay'], ['device']]) {
      const { code, stdout, stderr } = await runVerb(...words, '--help');
      expect([words, code, stderr]).toEqual([words, 0, '']);
      expect(stdout).toContain('Examples:\n  waygate ');
    }
    for (const words of [
      ['relay', 'enroll'],
      ['relay', 'names'],
      ['relay', 'key'],
      ['device', 'key'],
    ]) {
      const { code, stdout } = await runVerb(...words, '--help');
      expect([words, code]).toEqual([words, 0]);
      expect(stdout).toContain(`Usage: waygate ${words.join(' ')} `);
    }
  });

  it('says its version', async () => {
    expect(await waygate('--version')).toEqual({
      code: 0,
      stdout: `${release.version}\n`,
      stderr: '',
    });
  });

  it.each([
    ['', 'Usage: waygate'],
    ['trie', "unknown command 'trie'\n(Did you mean try?)"],
    ['relay', "required option '--config <file>' not specified"],
    ['device', "required option '--config <file>' not specified"],
    ['relay names', "required option '--config <file>' not specified"],
    ['relay nmes', "unknown command 'nmes'"],
    ['dns --config dns.yaml here', "unknown command 'here'"],
    ['relay --confg x', "unknown option '--confg'\n(Did you mean --config?)"],
    ['relay --config relay.yaml --log-level loud', 'Allowed choices are fatal, error'],
    ['relay enroll --config relay.yaml --name alice', "required option '--device-key <key>'"],
    [
      'relay enroll --config relay.yaml --name www --device-key x',
      '--name: "www" is reserved; choose another.',
    ],
    [
      `relay enroll --config relay.yaml --name alice --device-key ${vendorKey}`,
      '--device-key: This is the key of a vendor',
    ],
    [
      'relay key --config none.yaml',
      'none.yaml: There is no such file. Check the path given with --config.',
    ],
    ['try --port 65536', 'It must be a number from 0 to 65535.'],
    ['try --port eight', 'It must be a number from 0 to 65535.'],
    ['try --zone 192.0.2.1', '--zone must be a domain name, such as vendor.localhost.'],
    ['try --workspace code', '--workspace must be NAME=URL, such as code=http://127.0.0.1:8080.'],
    [
      'try --workspace -x=http://a:1',
      '--workspace: the name "-x" must not begin or end with a hyphen.',
    ],
    ['try --workspace a=https://b:1', '--workspace a: the URL must begin with http://.'],
    ['try --workspace a=http://b:1 --workspace A=http://b:2', '--workspace a is given twice.'],
  ])('waygate %s: used wrongly, exit 2', async (line, sentence) => {
    const { code, stdout, stderr } = await inOne(line);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('    at ');
    expect([code, stdout]).toEqual([2, '']);
  });

  it.each([
    'trie',
    'relay key --config none.yaml',
    'relay enroll --config none.yaml --name www --device-key x',
    'try --workspace code',
  ])('waygate %s: ends its own process with 2 and the same words', async (line) => {
    const alone = await waygate(...line.split(' '));
    expect(alone).toEqual(await inOne(line));
    expect(alone.code).toBe(2);
  });

  it('names file, line and column of a wrong configuration', async () => {
    const file = join(folder, 'wrong.yaml');
    writeFileSync(file, 'zone: vendor.dev\nstate: s\nlisen: {}\n');
    for (const words of [['relay'], ['relay', 'names']]) {
      expect(await waygate(...words, '--config', file)).toEqual({
        code: 2,
        stdout: '',
        stderr: `${file}:3:1: "lisen" is not known here. Did you mean "listen"?\n`,
      });
    }
  });
});

describe('the verbs of a relay and a device', () => {
  it('make keys on first use, keep them, and print the public half only', async () => {
    for (const [program, file, key] of [
      ['relay', relayYaml, join(folder, 'relay-state/vendor.key')],
      ['device', deviceYaml, join(folder, 'keys/device.key')],
    ] as const) {
      const first = await waygate(program, 'key', '--config', file);
      const role = program === 'relay' ? 'vendor' : 'device';
      expect(first.stdout).toMatch(new RegExp(`^waygate-${role}:[\\w-]{43}\n$`));
      expect(statSync(key).mode & 0o777).toBe(0o600);
      const again = await waygate(program, 'key', '--config', file, '--json');
      expect(JSON.parse(again.stdout)).toEqual({ [`${role}Key`]: first.stdout.trim() });
    }
  });

  it('enroll a device, once, and list the names', async () => {
    const enroll = (name: string, key: string, ...more: string[]) =>
      waygate(
        'relay',
        'enroll',
        '--config',
        relayYaml,
        '--name',
        name,
        '--device-key',
        key,
        ...more,
      );
    const alice = generateKey('device').publicKey.text;
    const other = generateKey('device').publicKey.text;
    expect(await enroll('Alice', alice)).toEqual({
      code: 0,
      stdout: 'alice: enrolled\n',
      stderr: '',
    });
    expect((await enroll('alice', alice)).stdout).toBe('alice: unchanged\n');
    const refused = await enroll('alice', other);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toContain('The name alice belongs to');
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    const replaced = await enroll('alice', other, '--replacing', alice, '--json');
    expect(JSON.parse(replaced.stdout)).toEqual({
      name: 'alice',
      deviceKey: other,
      outcome: 'replaced',
    });
    await enroll('bob-at-home', alice);
    const held = {
      ...{ state: 'held', owner: null, revoked: false, successor: null, until: null },
      ...{ software: null, lastSeen: null },
    };
    const { stdout } = await waygate('relay', 'names', '--config', relayYaml, '--json');
    expect(JSON.parse(stdout)).toEqual([
      { name: 'alice', deviceKey: other, ...held },
      { name: 'bob-at-home', deviceKey: alice, ...held },
    ]);
    const readable = await waygate('relay', 'names', '--config', relayYaml);
    expect(readable.stdout.split('\n')[0]).toMatch(
      /^alice +waygate-device:[\w-]{43} {2}never seen$/,
    );
  });

  it('leave nothing behind when they were used wrongly', () => {
    expect(readdirSync(folder)).not.toContain('.waygate');
  });
});
