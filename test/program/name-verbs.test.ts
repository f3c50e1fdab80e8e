// The verbs for names on the command line: what is given wrongly is told in one line, with exit code 2,
// and nothing has changed; what is refused, with exit code 1. Long lists go out as they are read.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDeviceName } from '../../dns/name.ts';
import { generateKey } from '../../relay/protocol/key.ts';
import { openRegistry } from '../../relay/registry/registry.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-verbs-'));
const relayYaml = join(folder, 'relay.yaml');
const deviceYaml = join(folder, 'device.yaml');
const registryFile = join(folder, 'relay-state/registry.sqlite');
const vendorKey = generateKey('vendor').publicKey.text;
/** More than one page of a listing. */
const CROWD = 1_100;

beforeAll(async () => {
  writeFileSync(relayYaml, 'zone: vendor.dev\nstate: relay-state\n');
  writeFileSync(
    deviceYaml,
    `relay: {url: wss://tunnel.vendor.dev:9/, vendorKey: '${vendorKey}', address: 127.0.0.1}
key: keys/device.key
ops: { host: 127.0.0.1, port: 9 }
workspaces: [{name: code, target: http://127.0.0.1:8080}]
`,
  );
  const database = { kind: 'sqlite', file: registryFile } as const;
  const registry = await openRegistry({ database, log: pino({ level: 'silent' }) });
  const deviceKey = generateKey('device').publicKey;
  for (let count = 0; count < CROWD; count += 1) {
    const name = parseDeviceName(`crowd${String(count).padStart(5, '0')}`);
    if (name !== undefined) await registry.enroll({ name, deviceKey, actor: 'test' });
  }
  await registry.close();
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Of everything that a verb could change. */
function state(): string {
  const hash = createHash('sha256').update(readFileSync(registryFile));
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (!entry.endsWith('-wal') && !entry.endsWith('-shm')) hash.update(entry);
  }
  return hash.digest('hex');
}

const relay = (line: string) => `relay ${line.replace(/^(\S+)/, `$1 --config ${relayYaml}`)}`;
const device = (line: string) => `device ${line.replace(/^(\S+)/, `$1 --config ${deviceYaml}`)}`;

describe('the verbs for names', { timeout: 60_000 }, () => {
  it.each([
    [relay('order'), "required option '--name <name>' not specified"],
    [relay('order --name www'), '--name: "www" is reserved; choose another.'],
    [relay('order --name a'), '--name: "a" must have 3 to 32 characters, not 1.'],
    [relay('order --name alice --expires-days 0'), 'It must be a whole number from 1 to 3650.'],
    [relay('order --name alice --expires-days 1.5'), 'It must be a whole number from 1 to 3650.'],
    [relay('order --name alice --owner nobody'), '--owner must be a mail address'],
    [relay('order --name alice --domain nonsense'), '--domain must be a domain outside vendor.dev'],
    [relay('order --name alice --domain co.uk'), 'below co.uk everybody can register a domain.'],
    [relay('order --name alice --domain a.vendor.dev'), '--domain must be a domain outside'],
    [
      relay('order --name alice --serial é'),
      '--serial must have 1 to 64 visible ASCII characters.',
    ],
    [relay('rename bob'), "required option '--name <name>' not specified"],
    [relay('rename --name crowd00001'), "missing required argument 'new-name'"],
    [
      relay('rename a--b --name crowd00001'),
      'NEW-NAME: "a--b" must not have two hyphens in a row.',
    ],
    [relay('rename bob --name -x-'), '--name: "-x-" must not begin or end with a hyphen.'],
    [relay('release'), "missing required argument 'name'"],
    [relay('release crowd00001'), 'If that is meant, say it again with --yes.'],
    [relay('release x_y --yes'), 'NAME: "x_y" may have only the letters a-z, digits and hyphens.'],
    [relay('revoke --name crowd00001'), 'If that is meant, say it again with --yes.'],
    [relay('revoke --yes'), 'Say which device: either --name NAME or --device-key KEY.'],
    [relay('revoke --yes --name nobody'), '--name: no device has the name nobody.'],
    [relay('revoke --yes --device-key x'), '--device-key: The key of a device begins with'],
    [relay('names --limit 0'), 'It must be a whole number from 1 to 999999999.'],
    [relay('names --limit many'), 'It must be a whole number from 1 to 999999999.'],
    [relay('names --name www'), '--name: "www" is reserved; choose another.'],
    [relay('owners --limit -1'), 'It must be a whole number from 1 to 999999999.'],
    [relay('owners --name alice'), "unknown option '--name'"],
    [relay('history --name -'), '--name: "-" must have 3 to 32 characters, not 1.'],
    [relay('history --limit 1e3'), 'It must be a whole number from 1 to 999999999.'],
    ['relay order --name alice', "required option '--config <file>' not specified"],
    [device('claim --name www'), '--name: "www" is reserved; choose another.'],
    [device('claim alice'), 'too many arguments'],
    [device('rename'), "missing required argument 'new-name'"],
    [device('rename Bob!'), 'NEW-NAME: "Bob!" may have only the letters a-z, digits and hyphens.'],
    [device('rename bob --name x'), '--name: "x" must have 3 to 32 characters, not 1.'],
    [device('release'), "missing required argument 'name'"],
    [device('release alice'), 'If that is meant, say it again with --yes.'],
    [device('release xn--a --yes'), 'NAME: "xn--a" must not have two hyphens in a row.'],
    [device('veto a.b'), 'The id of a recovery has letters and digits'],
    [device('veto a b'), 'too many arguments'],
    [device('rotate-key now'), 'too many arguments'],
    [device('status --name x'), "unknown option '--name'"],
    ['device claim', "required option '--config <file>' not specified"],
  ])('waygate %s: used wrongly, exit 2', async (line, sentence) => {
    const before = state();
    const { code, stdout, stderr } = await runVerb(...line.split(' '));
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('    at ');
    expect([code, stdout]).toEqual([2, '']);
    expect(state()).toBe(before);
  });

  it.each([
    relay('rename bob --name nobody'),
    relay('release nobody --yes'),
    relay('order --name crowd00001'),
    relay('rename crowd00002 --name crowd00001'),
  ])('waygate %s: refused, exit 1', async (line) => {
    const { code, stdout, stderr } = await runVerb(...line.split(' '));
    expect(stderr).toMatch(/^[A-Z][^\n]*\.\n$/);
    expect([code, stdout]).toEqual([1, '']);
  });

  it.each(['claim', 'status', 'rename bob', 'release alice --yes', 'veto', 'rotate-key'])(
    'waygate device %s: without the relay, exit 1 and what to do',
    async (line) => {
      const { code, stdout, stderr } = await runVerb(...device(line).split(' '));
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^Nothing listens at tunnel\.vendor\.dev:9 .* Try again later\.\n$/);
      expect(existsSync(join(folder, 'keys/device.key.next'))).toBe(false);
    },
  );
});

describe('a verb that is a process of its own', { timeout: 60_000 }, () => {
  it.each([
    [2, relay('release crowd00001')],
    [2, device('veto a.b')],
    [1, relay('order --name crowd00001')],
    [1, device('status')],
    [0, relay('names --name crowd00007')],
  ])('ends with %i and says the same: waygate %s', async (code, line) => {
    await using verb = new Verb(line.split(' '));
    const alone = await verb.outcome();
    expect(alone.code).toBe(code);
    expect(await runVerb(...line.split(' '))).toEqual(alone);
  });
});

describe('the lists', { timeout: 60_000 }, () => {
  it('are whole, however long; and as long as they are wanted', async () => {
    const names = await jsonOf(...relay('names').split(' '));
    expect(names).toHaveLength(CROWD);
    expect(names).toMatchObject([
      { name: 'crowd00000' },
      { name: 'crowd00001' },
      ...Array(CROWD - 2).fill({}),
    ]);
    expect(await jsonOf(...relay('names --limit 1050').split(' '))).toHaveLength(1_050);
    const history = await jsonOf(...relay('history --limit 2').split(' '));
    expect(history).toMatchObject([
      { id: CROWD, what: 'enrolled', name: 'crowd01099', actor: 'test' },
      { id: CROWD - 1 },
    ]);
    expect(await jsonOf(...relay('owners').split(' '))).toEqual([]);
    const one = await runVerb(...relay('names --name crowd00007').split(' '));
    expect(one.stdout).toMatch(/^crowd00007 +waygate-device:[\w-]{43} {2}never seen\n$/);
  });

  it.each([
    ['names --name nobody', 'Nobody has the name nobody.\n'],
    ['history --name nobody', 'Nothing has happened to the name nobody.\n'],
    ['owners', 'Nobody has signed in yet.\n'],
  ])('say that they are empty, so that nobody takes it for a fault: %s', async (words, stderr) => {
    expect(await runVerb(...relay(words).split(' '))).toEqual({ code: 0, stdout: '', stderr });
    expect(await jsonOf(...relay(words).split(' '))).toEqual([]);
  });

  it('end with their reader, without a word', async () => {
    await using verb = new Verb(relay('history').split(' '));
    await verb.printed(/\n/);
    verb.child.stdout?.destroy();
    expect(await verb.outcome()).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('an order for somebody', { timeout: 60_000 }, () => {
  it('makes the address an owner, once, in whatever case it is written', async () => {
    for (const [name, owner] of [
      ['grove', 'Ann@Example.org'],
      ['meadow', 'ann@example.org'],
    ]) {
      const ordered = await jsonOf(...relay(`order --name ${name} --owner ${owner}`).split(' '));
      expect(ordered).toMatchObject({ name, owner });
    }
    const owners = await jsonOf(...relay('owners').split(' '));
    expect(owners).toMatchObject([{ email: 'ann@example.org', names: 2 }]);
  });
});
