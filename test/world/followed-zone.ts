// `waygate dns` with three public name servers that follow it, one of them a signer, and the registry as
// a relay has it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { servedEverywhere } from '../../dns/propagation.ts';
import { parseRdata } from '../../dns/rdata.ts';
import { TYPE } from '../../dns/record.ts';
import { ChallengePublication } from '../../relay/challenge-publication.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { registryPlace } from '../../relay/registry-place.ts';
import { deviceKey, deviceName } from '../relay/registry/fixture.ts';
import { ProgramProcess } from './program-process.ts';
import {
  freePort,
  NAME_SERVER_KEY,
  NAME_SERVER_SECRET,
  PublicNameServer,
  type Software,
} from './public-name-server.ts';
import { VENDOR_ZONE } from './vendor-zone.ts';

export const FOLLOWERS: readonly Software[] = ['knot', 'nsd', 'knot-signer'];

/** Holds `alice` and `bobby`. */
export class FollowedZone implements AsyncDisposable {
  readonly registry: Registry;
  readonly publication: ChallengePublication;
  readonly servers: readonly PublicNameServer[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    registry: Registry,
    servers: readonly PublicNameServer[],
    stack: AsyncDisposableStack,
  ) {
    this.registry = registry;
    this.publication = new ChallengePublication(registry);
    this.servers = servers;
    this.#stack = stack;
  }

  static async start(postgresUrl?: string): Promise<FollowedZone> {
    await using stack = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'waygate-challenges-'));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const port = await freePort();
    const places = await Promise.all(
      FOLLOWERS.map(async (software) => ({ software, port: await freePort() })),
    );
    const postgresUrlFile = postgresUrl === undefined ? undefined : join(folder, 'url');
    if (postgresUrlFile !== undefined) {
      writeFileSync(postgresUrlFile, postgresUrl ?? '', { mode: 0o600 });
    }
    const place = await registryPlace({
      state: folder,
      registry: postgresUrlFile === undefined ? {} : { postgresUrlFile },
    });
    const log = pino({ level: 'silent' });
    const registry = await openRegistry({ database: place, log });
    stack.defer(() => registry.close());
    for (const name of ['alice', 'bobby']) {
      await registry.enroll({ name: deviceName(name), deviceKey: deviceKey(), actor: 'test' });
    }
    writeFileSync(join(folder, 'key'), NAME_SERVER_SECRET, { mode: 0o600 });
    const config = {
      zone: VENDOR_ZONE,
      listen: [{ host: '127.0.0.1', port }],
      ...(postgresUrlFile === undefined
        ? { state: folder }
        : { registry: { postgresUrlFile: postgresUrlFile } }),
      nameServers: [{ host: 'ns1.elsewhere.example' }],
      tsigKeys: [{ name: NAME_SERVER_KEY, secretFile: 'key' }],
      secondaries: places.map((each) => ({
        ...{ name: each.software, address: '127.0.0.1', port: each.port, key: NAME_SERVER_KEY },
        signs: each.software === 'knot-signer',
      })),
      notifyFrom: ['127.0.0.1'],
      ops: { host: '127.0.0.1', port: 0 },
    };
    const configFile = join(folder, 'dns.yaml');
    // JSON is YAML.
    writeFileSync(configFile, JSON.stringify(config));
    const program = stack.use(new ProgramProcess('dns', configFile));
    await program.ready();
    const servers = await Promise.all(
      places.map((each) => PublicNameServer.start(each.software, port, each.port)),
    );
    for (const server of servers) stack.use(server);
    return new FollowedZone(registry, servers, stack.move());
  }

  server(software: Software): PublicNameServer {
    const found = this.servers.find((each) => each.software === software);
    if (found === undefined) throw new Error(`There is no ${software} here.`);
    return found;
  }

  serves(servers: readonly PublicNameServer[], owner: string, value: string) {
    return servedEverywhere({
      servers: servers.map((each) => each.named()),
      owner: `${owner}.${VENDOR_ZONE}`,
      type: TYPE.TXT,
      value: parseRdata(TYPE.TXT, `"${value}"`) ?? Buffer.alloc(0),
      signal: AbortSignal.timeout(10_000),
    });
  }

  /** The values that are in the registry. */
  async values(): Promise<string[]> {
    const rows = await this.registry.read((db) =>
      db.selectFrom('challenges').select('value').execute(),
    );
    return rows.map(({ value }) => value).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
