// The vendor's zone as the world sees it: real relays, a real name server, real tools.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishChallenge } from '../../relay/registry/deeds/challenge.ts';
import { setLanAddresses } from '../../relay/registry/deeds/lan-addresses.ts';
import { rename } from '../../relay/registry/deeds/rename.ts';
import { deviceKey, deviceName } from '../relay/registry/fixture.ts';
import { Installation, ZONE } from '../world/installation.ts';
import { TestNameServer } from '../world/name-server.ts';
import { PostgresServer } from '../world/postgres.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { findProgram, requires } from '../world/requires.ts';
import { SmallDisk } from '../world/small-disk.ts';
import { Verb } from '../world/verb.ts';
import { until } from '../world/visits.ts';

const OPERATOR = { kind: 'operator', user: 'root' } as const;
const need = requires('dig', 'named-checkzone');
const DISK_BYTES = 2_097_152;

const needDisk = requires('dig', 'root', 'unshare', 'mount', 'nsenter');

async function metric(program: ProgramProcess, name: string): Promise<string | undefined> {
  const { ops } = await program.ready();
  const text = await (await fetch(`${ops.url}/metrics`)).text();
  return new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1];
}

/** The relay `one` and a name server, started at once. */
async function startVendor(stack: AsyncDisposableStack, postgresUrl?: string) {
  const more = 'id: one\n';
  const url = postgresUrl === undefined ? {} : { postgresUrl };
  const vendor = stack.use(await Installation.make({ drainSeconds: 0, more, ...url }));
  const server = stack.use(await TestNameServer.make(vendor));
  const [relay, program] = await Promise.all([vendor.relay(), server.start()]);
  return { vendor, server, relay, program };
}

describe.skipIf(need.skip)('the zone', { timeout: 30_000 }, () => {
  const stack = new AsyncDisposableStack();
  let vendor: Installation;
  let server: TestNameServer;
  let relay: ProgramProcess;
  let program: ProgramProcess;
  beforeAll(async () => {
    ({ vendor, server, relay, program } = await startVendor(stack));
  }, 60_000);
  afterAll(() => stack.disposeAsync());

  it('serves what is claimed, renamed and released elsewhere within 200 ms', async () => {
    const delays: number[] = [];
    await vendor.withRegistry(async (registry) => {
      const key = deviceKey();
      for (const name of ['david', 'erika', 'frank']) {
        expect(await server.rcode(`${name}.${ZONE}`)).toBe('NXDOMAIN');
        const to = deviceName(`${name}-renamed`);
        await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
        delays.push(await server.msUntil(`code.${name}.${ZONE}`, 'NOERROR'));
        await registry.perform(rename({ name: deviceName(name), to, by: OPERATOR }));
        delays.push(await server.msUntil(`${to}.${ZONE}`, 'NOERROR'));
        // The old name still leads to its redirect.
        expect(await server.rcode(`${name}.${ZONE}`)).toBe('NOERROR');
        await registry.release({ name: to, by: OPERATOR });
        delays.push(await server.msUntil(`${to}.${ZONE}`, 'NXDOMAIN'));
      }
    });
    expect(delays.toSorted((a, b) => a - b)[4]).toBeLessThan(200);
  });

  it('is whole, and right for the tools: AXFR, IXFR over a restart, named-checkzone, metrics', async () => {
    const { thumbprint, ...rest } = deviceKey();
    const key = { ...rest, thumbprint };
    await vendor.withRegistry(async (registry) => {
      await registry.enroll({ name: deviceName('alice'), deviceKey: key, actor: 'test' });
      const addresses = ['192.168.1.7', 'fd00::7'];
      await registry.perform(setLanAddresses({ thumbprint, addresses }));
      const owner = '_acme-challenge.code.alice';
      for (const value of ['one', 'two']) {
        await registry.perform(publishChallenge({ owner, value, ttlMs: 60_000 }));
      }
    });
    await until(
      async () => (await server.short(`_acme-challenge.code.alice.${ZONE}`, 'TXT')).length === 2,
      2_000,
      'both values',
    );
    expect(await server.short(`lan.alice.${ZONE}`, 'A')).toEqual(['192.168.1.7']);
    expect(await server.short(`lan.alice.${ZONE}`, 'AAAA')).toEqual(['fd00::7']);
    // The workspace is there though its name became an empty non-terminal, and so is another.
    for (const host of ['code.alice', 'notes.alice', 'alice', 'tunnel', 'my']) {
      expect(await server.short(`${host}.${ZONE}`, 'A')).toEqual(['127.0.0.1', `edge.${ZONE}.`]);
    }
    expect(await server.short(`edge.${ZONE}`, 'HTTPS')).toEqual(['1 . alpn="h2,http/1.1"']);
    expect(await server.short(ZONE, 'CAA')).toEqual([
      '0 issue "ca.example;validationmethods=dns-01"',
    ]);
    expect(await server.short(`ns2.${ZONE}`, 'AAAA')).toEqual(['::1']);

    const zoneFile = join(vendor.folder, 'zone');
    writeFileSync(zoneFile, await server.transfer('AXFR', '+onesoa', '+noall', '+answer'));
    const checkzone = findProgram('named-checkzone') ?? '';
    const { stdout } = await promisify(execFile)(checkzone, ['-i', 'full', ZONE, zoneFile]);
    expect(stdout).toMatch(/loaded serial \d+\nOK\n/);
    expect(stdout).not.toMatch(/warning|error/i);

    const serial = await server.serial();
    expect(Number(await metric(program, 'waygate_dns_serial'))).toBe(serial);
    // The relay, which started with it, is counted when the name server looks next.
    const counted = async () => (await metric(program, 'waygate_relays_alive')) === '1';
    await until(counted, 5_000, 'a relay that is alive');
    expect(
      await metric(program, 'waygate_dns_transfers{outcome="axfr"}'.replace(/[{}]/g, '\\$&')),
    ).toBe('1');
    expect(await program.end('SIGTERM')).toBe(0);
    await vendor.withRegistry((registry) =>
      registry.enroll({ name: deviceName('bobby'), deviceKey: key, actor: 'test' }),
    );
    program = await server.start();
    expect(await server.serial()).toBeGreaterThan(serial);
    const changes = await server.transfer(`IXFR=${serial}`, '+noall', '+answer');
    expect(changes).toMatch(new RegExp(`^bobby\\.${ZONE}\\.\\s+60\\s+IN\\s+CNAME`, 'm'));
    expect(changes).not.toContain('alice');
    expect(await server.dig(ZONE, 'AXFR')).toMatch(/Transfer failed/);
  });

  it('loses a relay that stops at once, has it again when it starts, and keeps the last one', async () => {
    const config = join(vendor.folder, 'relay2.yaml');
    writeFileSync(
      config,
      `zone: ${ZONE}\nlisten: { host: 127.0.0.2, port: ${vendor.port} }\nid: two\n` +
        `state: "${join(vendor.folder, 'relay')}"\nops: { host: 127.0.0.1, port: 0 }\ndrainSeconds: 0\n`,
    );
    const two = vendor.run('relay', config);
    await two.ready();
    const edge = async () => (await server.short(`edge.${ZONE}`, 'A')).join(' ');
    const becomes = (text: string) => until(async () => (await edge()) === text, 2_000, text);
    await becomes('127.0.0.1 127.0.0.2');
    expect(await relay.end('SIGTERM')).toBe(0);
    await becomes('127.0.0.2');
    await vendor.relay();
    await becomes('127.0.0.1 127.0.0.2');
    await two.end('SIGTERM');
    await becomes('127.0.0.1');
  });

  it('is refused to be another one than the registry has, with what to do', async () => {
    const config = join(vendor.folder, 'other.yaml');
    writeFileSync(
      config,
      `zone: other.test\nlisten: [{ host: 127.0.0.1, port: 0 }]\n` +
        `state: "${join(vendor.folder, 'relay')}"\nnameServers: [{ host: ns.elsewhere.example }]\n` +
        'ops: { host: 127.0.0.1, port: 0 }\n',
    );
    const refused = vendor.run('dns', config);
    expect(await refused.ended).toBe(1);
    expect(refused.words()).toMatch(/publishes the zone vendor\.test.*Correct the zone/);
  });

  it('warns when it had to make the registry, as it must where its path is wrong', async () => {
    const config = join(vendor.folder, 'elsewhere.yaml');
    const text = readFileSync(server.configFile, 'utf8');
    writeFileSync(
      config,
      text
        .replace(/^state:.*$/m, `state: "${join(vendor.folder, 'elsewhere')}"`)
        .replace(/port: \d+ \}\]$/m, 'port: 0 }]'),
    );
    const program = vendor.run('dns', config);
    await program.said(/^There was no registry at .*correct "state" in dns\.yaml/, 15_000);
    await program.end('SIGTERM');
    expect(program.count(/^There was no registry/)).toBe(1);
  });
});

describe.skipIf(needDisk.skip)('a name server whose registry has a full disk', () => {
  it('answers as before, and follows again when there is room', { timeout: 60_000 }, async () => {
    await using vendor = await Installation.make();
    await using server = await TestNameServer.make(vendor);
    const disk = new SmallDisk(join(vendor.folder, 'relay'), DISK_BYTES);
    const enroll = (name: string) =>
      vendor.withRegistry((registry) =>
        registry.enroll({ name: deviceName(name), deviceKey: deviceKey(), actor: 'test' }),
      );
    await enroll('alice');
    const program = await server.start(disk.make);
    disk.belongsTo(program);
    disk.fill();
    expect(await server.rcode(`alice.${ZONE}`)).toBe('NOERROR');
    const { ops } = await program.ready();
    expect((await fetch(`${ops.url}/readyz`)).status).toBe(200);
    const claim = async (name: string) => {
      const words = ['relay', 'enroll', '--config', vendor.relayConfig, '--name', name];
      return new Verb([...words, '--device-key', deviceKey().text], disk.enter).outcome();
    };
    const refused = await claim('bobby');
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/There is no room on the disk/),
    ]);
    expect(await server.rcode(`bobby.${ZONE}`)).toBe('NXDOMAIN');
    disk.makeRoom();
    expect(await claim('bobby')).toMatchObject({ code: 0 });
    await until(async () => (await server.rcode(`bobby.${ZONE}`)) === 'NOERROR', 2_000, 'bobby');
    expect(program.log.filter(({ level }) => level >= 60)).toEqual([]);
    expect(await program.end('SIGTERM')).toBe(0);
  });
});

const needPostgres = requires('dig', 'initdb');

describe.skipIf(needPostgres.skip)('a name server whose registry is a PostgreSQL', () => {
  it('serves what a relay elsewhere is told, within 200 ms', { timeout: 60_000 }, async () => {
    await using postgres = await PostgresServer.start();
    await using stack = new AsyncDisposableStack();
    const { vendor, server } = await startVendor(stack, await postgres.createDatabase());
    const delays: number[] = [];
    await vendor.withRegistry(async (registry) => {
      for (const name of ['alice', 'bobby', 'carol']) {
        await registry.enroll({ name: deviceName(name), deviceKey: deviceKey(), actor: 'test' });
        delays.push(await server.msUntil(`${name}.${ZONE}`, 'NOERROR'));
      }
    });
    expect(delays.toSorted((a, b) => a - b)[1]).toBeLessThan(200);
    expect(await server.short(`alice.${ZONE}`, 'A')).toEqual(['127.0.0.1', `edge.${ZONE}.`]);
  });
});
