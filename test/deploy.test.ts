// What deploy/ promises: the example configurations are valid, the units load and are tight, and what
// the images copy is enough to run the programs. The images themselves are not built here: that
// takes a container engine and the network.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../config-file.ts';
import { deviceSchema } from '../device-client/config.ts';
import { dnsSchema } from '../dns/config.ts';
import { DNS_STOP_TIMEOUT_MS } from '../dns-program.ts';
import { relaySchema } from '../relay/config.ts';
import { requires } from './world/requires.ts';

const PROGRAMS = ['relay', 'device', 'dns'] as const;
type Program = (typeof PROGRAMS)[number];

let folder = '';
const running: ChildProcess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'waygate-deploy-'));
});

afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const promtool = requires('promtool');

describe.skipIf(promtool.skip)('alert rules', () => {
  const file = 'deploy/prometheus/waygate.rules.yml';

  it('are valid', () => {
    const result = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
    expect(result.status, result.stdout + result.stderr).toBe(0);
  });

  it('tell of certificates that have ended, but not of those of devices that are off', () => {
    const series = (purpose: string, days: number, count: number) => ({
      series: `waygate_certificate_days_left{purpose="${purpose}",within="${days}"}`,
      values: `${count}x200`,
    });
    const lateness = 'waygate_certificate_oldest_revocation_failure_seconds';
    const labels = (alertname: string, exp_labels: object) => ({
      ...{ eval_time: '2h', alertname, exp_alerts: [{ exp_labels }] },
    });
    const cases = join(folder, 'rules-test.json');
    const expected = [
      labels('WaygateCertificateEnded', { severity: 'critical', purpose: 'domain' }),
      labels('WaygateCertificateEndsSoon', { severity: 'warning', purpose: 'relay' }),
      labels('WaygateRevocationFails', { severity: 'warning' }),
    ];
    // Their words are not compared.
    const rules = readFileSync(file, 'utf8').replace(/^ +(annotations|summary|next):.*\n/gm, '');
    writeFileSync(join(folder, 'waygate.rules.yml'), rules);
    const input_series = [
      ...[series('device', 0, 5), series('device', 7, 5)],
      ...[series('domain', 0, 1), series('relay', 7, 2), series('relay', 0, 0)],
      { series: lateness, values: '86401x200' },
    ];
    const tests = [{ interval: '1m', input_series, alert_rule_test: expected }];
    const test = { rule_files: ['waygate.rules.yml'], evaluation_interval: '1m', tests };
    writeFileSync(cases, JSON.stringify(test));
    const result = spawnSync('promtool', ['test', 'rules', cases], { encoding: 'utf8' });
    expect(result.status, result.stdout + result.stderr).toBe(0);
  });

  it('speak of metrics that the relay has', () => {
    const named = new Set(readFileSync(file, 'utf8').match(/waygate_[a-z_0-9]+/g));
    const sources = globSync('relay/**/metrics.ts').map((source) => readFileSync(source, 'utf8'));
    const text = sources.join('\n');
    for (const metric of named) {
      const short = metric.replace(/^waygate_certificate_/, '');
      expect(text, metric).toMatch(new RegExp(`['\`}](${metric}|${short})['\`]`));
    }
    expect(named.size).toBeGreaterThan(5);
  });
});

describe('example configurations', () => {
  it('relay.yaml is valid as it is', () => {
    expect(readConfig('deploy/relay.yaml', relaySchema).zone).toBe('vendor.example');
  });

  it('dns.yaml is valid as it is, also with all that is commented out, and of the same zone', () => {
    const text = readFileSync('deploy/dns.yaml', 'utf8');
    expect(readConfig('deploy/dns.yaml', dnsSchema).apex.zone).toBe('vendor.example');
    const file = join(folder, 'dns-example.yaml');
    writeFileSync(file, text.replace(/^# (?=[a-zA-Z]+:| )/gm, '').replace(/^registry.*$/m, ''));
    const { apex, transfers } = readConfig(file, dnsSchema);
    expect([apex.caa.length, transfers.tsigKeys.length, transfers.secondaries.length]).toEqual([
      2, 1, 1,
    ]);
  });

  it("device.yaml is valid once the vendor's key is in it, and says so until then", () => {
    expect(() => readConfig('deploy/device.yaml', deviceSchema)).toThrow(
      /device\.yaml:\d+:\d+.*vendorKey.*waygate relay key --config/s,
    );
    const text = readFileSync('deploy/device.yaml', 'utf8');
    const file = join(folder, 'device-example.yaml');
    writeFileSync(file, text.replace(/waygate-vendor:\S+/, `waygate-vendor:${ANY_KEY}`));
    const names = readConfig(file, deviceSchema).workspaces.map(({ name }) => name);
    expect(names).toEqual(['code', 'notes']);
  });

  it('the unit of the name server waits longer for a stop than it may take', () => {
    const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit('dns'))?.[1]);
    expect(stop * 1_000).toBeGreaterThan(DNS_STOP_TIMEOUT_MS);
  });

  it('the unit of the relay waits longer for a stop than the relay drains', () => {
    const { drainSeconds } = readConfig('deploy/relay.yaml', relaySchema);
    const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit('relay'))?.[1]);
    expect(stop).toBeGreaterThan(drainSeconds + 5);
  });
});

const needSystemd = requires('systemd-analyze');

describe.skipIf(needSystemd.skip)('systemd units', () => {
  it.each(PROGRAMS)('%s: loads without a complaint', (program) => {
    const result = spawnSync('systemd-analyze', ['verify', '--man=no', loadable(program)], {
      encoding: 'utf8',
    });
    expect([result.status, result.stdout + result.stderr]).toEqual([0, '']);
  });

  it.each(PROGRAMS)('%s: exposes little (systemd-analyze security)', (program) => {
    const args = ['security', '--offline=yes', '--no-pager', '--threshold=20', loadable(program)];
    const result = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    expect(result.status, result.stdout.split('\n').slice(-3).join('\n')).toBe(0);
  });

  it('a faulty unit is found', () => {
    const file = join(folder, 'waygate-faulty.service');
    writeFileSync(
      file,
      unit('relay').replace('RestartSec=', 'RestartSec=often').replace(NODE, '/bin/true'),
    );
    const result = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
    expect(result.stderr).toContain('often');
  });
});

describe('images', () => {
  it.each(PROGRAMS)('%s: instructions, base and user are sound', (program) => {
    const instructions = containerfile(program);
    const words = new Set(instructions.map(([word]) => word));
    expect([...words].filter((word) => !INSTRUCTIONS.has(word))).toEqual([]);
    const engines = /"node": ">=(\d+)/.exec(readFileSync('package.json', 'utf8'))?.[1];
    for (const [word, rest] of instructions) {
      if (word === 'FROM') expect(rest).toMatch(new RegExp(`/node:${engines}-slim\\b`));
      if (word === 'CMD' || word === 'ENTRYPOINT') expect(JSON.parse(rest)).toBeInstanceOf(Array);
    }
    expect(instructions.findLast(([word]) => word === 'USER')?.[1]).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(copied(program).length).toBeGreaterThan(5);
  });

  it('what they copy is enough for a relay, a device and a name server that find each other', async () => {
    const relayTree = unpack('relay');
    const deviceTree = unpack('device');
    const relayYaml = config('relay.yaml', {
      zone: 'vendor.example',
      listen: { host: '127.0.0.1', port: 0 },
      state: join(folder, 'state'),
      ops: { port: 0 },
      drainSeconds: 0,
    });
    const relay = await start(relayTree, 'relay', relayYaml);
    const deviceConfig = (port: number, ca: string) =>
      config('device.yaml', {
        relay: {
          url: `wss://tunnel.vendor.example:${port}/`,
          vendorKey: command(relayTree, ['relay', 'key', '--config', relayYaml]),
          ca,
          address: '127.0.0.1',
        },
        key: join(folder, 'device.key'),
        ops: { port: 0 },
        workspaces: [{ name: 'code', target: 'http://127.0.0.1:9' }],
      });
    const deviceYaml = deviceConfig(Number(relay.ready['port']), String(relay.ready['ca']));
    const deviceKey = command(deviceTree, ['device', 'key', '--config', deviceYaml]);
    const enrolment = ['--name', 'alice', '--device-key', deviceKey];
    command(relayTree, ['relay', 'enroll', '--config', relayYaml, ...enrolment]);
    const device = await start(deviceTree, 'device', deviceYaml);
    const dnsYaml = config('dns.yaml', {
      zone: 'vendor.example',
      listen: [{ host: '127.0.0.1', port: 0 }],
      state: join(folder, 'state'),
      nameServers: [{ host: 'ns.elsewhere.example' }],
      ops: { host: '127.0.0.1', port: 0 },
    });
    const dns = await start(unpack('dns'), 'dns', dnsYaml);
    expect(await stop(dns)).toBe(0);
    expect(await stop(device)).toBe(0);
    expect(await stop(relay)).toBe(0);
  }, 120_000);
});

const ANY_KEY = Buffer.from(
  '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  'hex',
).toString('base64url');

const NODE = '/opt/waygate/node_modules/.bin/node';

const INSTRUCTIONS = new Set(
  'FROM WORKDIR COPY RUN ENV VOLUME USER EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD'.split(' '),
);

function unit(program: Program): string {
  return readFileSync(`deploy/systemd/waygate-${program}.service`, 'utf8');
}

/** The unit with a program that exists here, because `verify` looks for it. */
function loadable(program: Program): string {
  const file = join(folder, `waygate-${program}.service`);
  const text = unit(program);
  expect(text).toContain(`ExecStart=${NODE} `);
  writeFileSync(file, text.replace(NODE, '/bin/true').replace('/opt/waygate\n', '/\n'));
  return file;
}

/** Instructions as [word, rest]; comments and empty lines left out. */
function containerfile(program: Program): [string, string][] {
  return readFileSync(`deploy/${program}.Containerfile`, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => [line.split(' ')[0] ?? '', line.slice(line.indexOf(' ') + 1)]);
}

/** The files of the repository that the last stage copies. */
function copied(program: Program): string[] {
  const instructions = containerfile(program);
  const lastStage = instructions.slice(instructions.findLastIndex(([word]) => word === 'FROM'));
  return lastStage
    .filter(([word, rest]) => word === 'COPY' && !rest.startsWith('--from='))
    .flatMap(([, rest]) => rest.split(' ').slice(0, -1))
    .flatMap((source) => {
      const found = globSync(source);
      expect(found, `COPY ${source}`).not.toEqual([]);
      return found;
    });
}

/** A folder with exactly what the image of the program holds. */
function unpack(program: Program): string {
  const tree = join(folder, program);
  mkdirSync(tree);
  for (const path of copied(program)) cpSync(path, join(tree, path), { recursive: true });
  symlinkSync(join(process.cwd(), 'node_modules'), join(tree, 'node_modules'));
  return tree;
}

/** JSON is YAML. */
function config(name: string, value: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(value));
  return file;
}

function command(tree: string, args: readonly string[]): string {
  return execFileSync(process.execPath, ['waygate.ts', ...args], {
    cwd: tree,
    encoding: 'utf8',
    timeout: 20_000,
  }).trim();
}

interface Started {
  readonly child: ChildProcess;
  readonly ready: Readonly<Record<string, unknown>>;
  log(): string;
}

/** Starts the program as the image does, and waits until it serves. */
async function start(tree: string, program: Program, configFile: string): Promise<Started> {
  const args = ['waygate.ts', program, '--config', configFile];
  const child = spawn(process.execPath, args, {
    cwd: tree,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  running.push(child);
  let log = '';
  child.stderr?.on('data', (bytes: Buffer) => {
    log += bytes.toString();
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`The ${program} ended before it was ready: ${log}`);
  });
  for (;;) {
    const [message] = await Promise.race([once(child, 'message'), ended]);
    if (message.event !== 'ready') continue;
    ended.catch(() => undefined);
    return { child, ready: message, log: () => log };
  }
}

/** The exit code, or what the program said instead of ending well. */
async function stop({ child, log }: Started): Promise<unknown> {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const [exitCode] = await exited;
  return exitCode === 0 ? 0 : log();
}
