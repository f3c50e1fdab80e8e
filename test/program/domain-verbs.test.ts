// `waygate device domain` on the command line: what to enter, progress until the domain is live, and what
// is said when it is not. Each verb is a process; the relay's side is in this one, with real TLS and DNS.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDeviceName } from '../../dns/name.ts';
import { loadOrCreateKey } from '../../relay/protocol/key.ts';
import { registerRelay } from '../../relay/registry/deeds/relay-alive.ts';
import { OrgDomains } from '../world/org-domains.ts';
import { PortalStand } from '../world/portal-stand.ts';
import { requires } from '../world/requires.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';

let org: OrgDomains;
let stand: PortalStand;
let config: string;

beforeAll(async () => {
  org = await OrgDomains.open();
  stand = await PortalStand.open({}, org);
  await stand.registry.perform(registerRelay({ id: 'here', addresses: ['127.0.0.1'] }));
  config = await deviceWith('alice');
}, 60_000);
afterAll(async () => {
  await stand[Symbol.asyncDispose]();
  await org[Symbol.asyncDispose]();
});

/** The configuration of a device that holds these names. */
async function deviceWith(...names: readonly string[]): Promise<string> {
  const [first = 'nameless'] = names;
  const file = join(stand.folder, `${first}.yaml`);
  const key = join(stand.folder, `${first}.key`);
  const { publicKey: deviceKey } = await loadOrCreateKey(key, 'device');
  for (const text of names) {
    const name = parseDeviceName(text);
    if (name === undefined) throw new Error(`${text} is no name`);
    await stand.registry.enroll({ name, deviceKey, actor: 'test' });
  }
  writeFileSync(
    file,
    `relay: { url: "wss://tunnel.vendor.test:${stand.port}/", vendorKey: "${stand.vendorKey.text}", ` +
      `ca: "${stand.ca}", address: 127.0.0.1 }\nkey: "${key}"\nops: { host: 127.0.0.1, port: 0 }\n` +
      'workspaces: [{ name: code, target: "http://127.0.0.1:8080" }]\n',
  );
  return file;
}

const domain = (...words: string[]) => ['device', 'domain', ...words, '--config', config];

interface Entry {
  readonly type: string;
  readonly owner: string;
  readonly value: string;
}

/** By address, as at the top of a domain. */
function enter(name: string, entries: readonly Entry[]): void {
  const records = entries.filter(({ type }) => type === 'TXT' || type === 'A');
  org.enter(
    name,
    records.map(({ owner, type, value }) => [owner, type, value]),
  );
}

const need = requires('script');

describe.concurrent('adding a domain', { timeout: 60_000 }, () => {
  it('says when the workspace is none of device.yaml', async () => {
    const words = domain('add', 'later.org', '--workspace', 'later', '--no-wait');
    const { code, stderr } = await runVerb(...words);
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('has no workspace later yet: add it'),
    ]);
  });

  it('--json: tells what to enter, each change, and the end', async () => {
    await using verb = new Verb(domain('add', 'json.org', '--workspace', 'code', '--json'));
    const added = await verb.event('added');
    expect(added).toMatchObject({
      ...{ domain: 'json.org', url: `https://json.org:${stand.port}/`, name: 'alice' },
      ...{ workspace: 'code', wildcard: false, state: 'pending', live: false },
    });
    enter('json.org', added['entries'] as Entry[]);
    await verb.printed(/^{"event":"step","step":"routing","state":"ok".*}$/m);
    await org.certify('json.org');
    expect(await verb.event('live')).toMatchObject({ live: true, state: 'proven' });
    const { code, stdout, stderr } = await verb.outcome();
    expect([code, stderr]).toEqual([0, '']);
    const events: { event: string; step?: string; state?: string }[] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.at(0)?.event).toBe('added');
    expect(events.at(-1)?.event).toBe('live');
    const steps = events.slice(1, -1);
    expect(new Set(steps.map(({ event }) => event))).toEqual(new Set(['step']));
    const last = (name: string) => steps.findLast(({ step }) => step === name)?.state;
    expect(['proof', 'routing', 'certificate', 'live'].map(last)).toEqual(Array(4).fill('ok'));
    const { live } = (await jsonOf(...domain('check', 'json.org'))) as { live: boolean };
    expect(live).toBe(true);
    const shown = await runVerb(...domain('check', 'json.org'));
    expect([shown.code, shown.stderr]).toEqual([0, '']);
    expect(shown.stdout).toContain(`live at https://json.org:${stand.port}/`);
    const list = await runVerb(...domain('list'));
    expect(list.stdout).toMatch(/^json\.org +code\.alice +live$/m);
  });

  it('in words: a table that can be copied from, then a line for each change; Ctrl-C says what now', async () => {
    await using verb = new Verb(domain('add', 'words.org', '--wildcard'));
    await verb.said(/^Looking for it\. Ctrl-C ends the looking, not the domain\.$/m);
    const [table = ''] = await verb.printed(/^ {2}TYPE(.*\n)+\n/m);
    expect(table).toMatch(/^ {2}TXT +_waygate\.words\.org +\S+ +proves that the domain is yours/m);
    expect(table).toMatch(/^ {2}CNAME +\*\.words\.org +\w+\.to\.vendor\.test +leads/m);
    await verb.printed(/^ {2}wrong +proof +There is no TXT record .*\. Expected: TXT /m);
    const [, value = ''] = /_waygate\.words\.org +(\S+)/.exec(table) ?? [];
    org.enter('words.org', [['_waygate.words.org', 'TXT', value]]);
    await verb.printed(/^ {2}ok +proof +The TXT record is at _waygate\.words\.org\.$/m);
    verb.child.kill('SIGINT');
    const { code, stderr } = await verb.outcome();
    expect(code).toBe(1);
    expect(stderr).toContain('words.org is not live yet.');
    expect(stderr).toContain(
      'The relay goes on by itself. To look again: waygate device domain check',
    );
    const check = await runVerb(...domain('check', 'words.org'));
    expect(check.code).toBe(1);
    expect(check.stdout).toContain('  TYPE ');
    expect(check.stdout).toMatch(/^ {2}wrong +routing +found/m);
    expect(check.stderr).toMatch(/^words\.org is not live yet\. .*\n$/);
  });

  it('ends after its time, or at once, and the same again tells the same', async () => {
    const late = await runVerb(...domain('add', 'late.org', '--timeout', '1', '--json'));
    expect(late.code).toBe(1);
    const events = late.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const [added, waiting] = [events.at(0), events.at(-1)];
    expect([added.event, waiting.event, waiting.live]).toEqual(['added', 'waiting', false]);
    const again = await runVerb(...domain('add', 'LATE.org.', '--no-wait', '--json'));
    expect(again.code).toBe(0);
    expect(again.stderr).toContain('How far it is: waygate device domain check late.org --config');
    expect(JSON.parse(again.stdout).entries).toEqual(added.entries);
    expect(await jsonOf(...domain('remove', 'late.org', '--yes'))).toEqual({
      domain: 'late.org',
      outcome: 'removed',
    });
    const gone = await runVerb(...domain('remove', 'late.org', '--yes'));
    expect([gone.code, gone.stdout]).toEqual([1, '']);
    expect(gone.stderr).toBe(
      'None of your names has the domain late.org. See the list of your domains.\n',
    );
  });

  it('asks which name is meant when the device has several, and for each leads elsewhere', async () => {
    const two = await deviceWith('bob', 'bobby');
    const add = ['device', 'domain', 'add', 'two.org', '--no-wait', '--json', '--config', two];
    const which = await runVerb(...add);
    expect([which.code, which.stdout]).toEqual([2, '']);
    expect(which.stderr).toContain('several names (bob, bobby). Say which: --name NAME.');
    const one = await runVerb(...add, '--name', 'bobby');
    expect(JSON.parse(one.stdout)).toMatchObject({ name: 'bobby', domain: 'two.org' });
  });

  it.skipIf(need.skip)(
    'on a terminal draws the steps anew in their place, until Ctrl-C',
    async () => {
      const words = [process.execPath, 'waygate.ts', ...domain('add', 'tty.org')];
      const command = `stty cols 70 rows 60 -echo; exec ${words.join(' ')}`;
      const terminal = spawn('script', ['-qec', command, '/dev/null'], { stdio: 'pipe' });
      const ended = once(terminal, 'close');
      terminal.stdout.setEncoding('utf8');
      let drawn = '';
      const until = async (pattern: RegExp) => {
        for await (const part of terminal.stdout.iterator({ destroyOnReturn: false })) {
          drawn += part;
          if (pattern.test(drawn)) return;
        }
        throw new Error(`it ended without ${pattern}: ${drawn}`);
      };
      await until(/looked at/);
      const [, proof = ''] = /_waygate\.tty\.org +(\S+)/.exec(drawn) ?? [];
      org.enter('tty.org', [['_waygate.tty.org', 'TXT', proof]]);
      await until(/ok {7}proof[\s\S]*looked at/);
      terminal.stdin.write('\x03');
      await until(/To look again/);
      expect(await ended).toEqual([1, null]);
      const screen = screenOf(drawn);
      for (const step of ['proof', 'routing', 'CAA', 'certificate', 'live']) {
        expect(screen.filter((line) => line.startsWith(step, 11))).toHaveLength(1);
      }
      expect(screen.find((line) => line.startsWith('proof', 11))).toMatch(/^ {2}ok {7}proof/);
    },
  );
});

/** What a terminal shows after this: lines, moves up, and clearing of what is below. */
function screenOf(text: string): string[] {
  const screen = [''];
  const parts = text.replaceAll('\x1b', '^').match(/\r?\n|\^\[\d+A|\^\[J|[^\r\n^]+|\r/g) ?? [];
  for (const part of parts) {
    if (part.endsWith('\n')) screen.push('');
    else if (part.endsWith('A')) screen.splice(-1 - Number(part.slice(2, -1)), Infinity, '');
    else if (part !== '\r' && part !== '^[J') screen.push((screen.pop() ?? '') + part);
  }
  return screen;
}

describe('what is given wrongly', { timeout: 60_000 }, () => {
  it.each([
    [['add'], "missing required argument 'domain'"],
    [
      ['add', 'https://a.example.org/'],
      'DOMAIN: "https://a.example.org/" must be the domain alone',
    ],
    [['add', 'a.org', '--workspace', 'a_b'], '--workspace: "a_b" may have only the letters'],
    [['add', 'a.org', '--name', 'www'], '--name: "www" is reserved; choose another.'],
    [['add', 'a.org', '--timeout', '0'], 'It must be a whole number from 1 to 86400.'],
    [['check', 'localhost'], 'DOMAIN: "localhost" must have a dot: app.example.org.'],
    [['check', 'a.org', '--name', 'x'], '--name: "x" must have 3 to 32 characters, not 1.'],
    [['remove', 'a.org'], 'If that is meant, say it again with --yes.'],
  ])('%j: exit 2, and nothing has changed', async (words, sentence) => {
    const before = await stand.state();
    const { code, stdout, stderr } = await runVerb(...domain(...words));
    expect(stderr).toContain(sentence);
    expect([code, stdout]).toEqual([2, '']);
    expect(await stand.state()).toEqual(before);
  });

  it.each([
    [['add', 'app.vendor.test'], 'belongs to the vendor, as vendor.test does.'],
    [['add', 'a.org', '--name', 'carol'], 'carol'],
    [['check', 'nobodys.org'], 'None of your names has the domain nobodys.org.'],
  ])('%j: refused by the relay, exit 1', async (words, sentence) => {
    const before = await stand.state();
    const { code, stdout, stderr } = await runVerb(...domain(...words));
    expect(stderr).toContain(sentence);
    expect([code, stdout]).toEqual([1, '']);
    expect(await stand.state()).toEqual(before);
  });
});
