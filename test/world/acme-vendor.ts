// A vendor as the world has it: a relay, its name server and a device with two workspaces; a Pebble that
// signs, which looks as every authority does; a Knot, where a customer keeps his `example.org`; and a BIND,
// which resolves both zones for all of them. Whoever trusts Pebble's root trusts the vendor.
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDeviceName } from '../../dns/name.ts';
import type { PublicKey } from '../../relay/protocol/key.ts';
import { approveClaim } from '../../relay/registry/deeds/approve-claim.ts';
import { openClaim } from '../../relay/registry/deeds/claim.ts';
import { MAIL_ISSUER, signIn } from '../../relay/registry/sign-in.ts';
import { type CustomerRecord, customerZone } from './customer-zone.ts';
import { DeviceFiles, Installation, ZONE } from './installation.ts';
import { KnotServer } from './knot-server.ts';
import { PebbleServer } from './pebble.ts';
import type { ProgramProcess } from './program-process.ts';
import { freePort } from './public-name-server.ts';
import { RecursiveResolver } from './resolver.ts';
import type { Door } from './visits.ts';

/** What a suite must ask `requires` for. */
export const ACME_VENDOR_PROGRAMS = ['pebble', 'knotd', 'named', 'rndc'] as const;

const CUSTOMER = 'example.org';

/** As public authorities do. */
const VALIDITY_S = 90 * 86_400;

interface Parts {
  readonly installation: Installation;
  readonly relay: ProgramProcess;
  readonly device: DeviceFiles;
  readonly pebble: PebbleServer;
  readonly resolver: RecursiveResolver;
  readonly knot: KnotServer;
  readonly httpPort: number;
}

export class AcmeVendor implements AsyncDisposable, Door {
  readonly address: string;
  readonly port: number;
  readonly caPem: string;
  readonly installation: Installation;
  readonly relay: ProgramProcess;
  readonly device: DeviceFiles;
  readonly pebble: PebbleServer;
  /** Where the relay answers by plain HTTP. */
  readonly httpPort: number;
  readonly #knot: KnotServer;
  readonly #resolver: RecursiveResolver;
  readonly #stack: AsyncDisposableStack;
  readonly #records = new Map<string, readonly CustomerRecord[]>();

  private constructor(parts: Parts, stack: AsyncDisposableStack) {
    this.address = parts.installation.address;
    this.port = parts.installation.port;
    this.caPem = parts.installation.caPem;
    this.installation = parts.installation;
    this.relay = parts.relay;
    this.device = parts.device;
    this.pebble = parts.pebble;
    this.httpPort = parts.httpPort;
    this.#knot = parts.knot;
    this.#resolver = parts.resolver;
    this.#stack = stack;
  }

  /** `owner`, by his mail address, has the device `name` with these workspaces (NAME: URL). */
  static async start(
    { owner, name }: { readonly owner: string; readonly name: string },
    workspaces: Readonly<Record<string, string>>,
  ): Promise<AcmeVendor> {
    await using stack = new AsyncDisposableStack();
    const httpPort = await freePort();
    const installation = stack.use(
      await Installation.make({
        drainSeconds: 0,
        more: `http: { host: 127.0.0.1, port: ${httpPort} }\nportal: { mail: { print: true } }\n`,
      }),
    );
    const dnsPort = await freePort();
    const knot = stack.use(await KnotServer.start(customerZone(CUSTOMER, [])));
    const resolver = stack.use(
      await RecursiveResolver.start([
        { zone: ZONE, servers: [{ address: '127.0.0.1', port: dnsPort }] },
        { zone: CUSTOMER, servers: [knot] },
      ]),
    );
    const pebble = stack.use(
      await PebbleServer.start({
        ...{ httpPort, tlsPort: installation.port, validitySeconds: VALIDITY_S },
        dnsServer: `${resolver.host}:${resolver.port}`,
      }),
    );
    installation.trust(await pebble.rootPem());
    appendFileSync(
      installation.relayConfig,
      `certificates: { authorities: [{ name: pebble, directory: "${pebble.directoryUrl}", ` +
        `caFile: "${pebble.caFile}" }] }\n` +
        `domains: { rootFile: "${installation.ca}", ` +
        `resolvers: [{ host: ${resolver.host}, port: ${resolver.port} }] }\n`,
    );
    const device = new DeviceFiles(installation, name);
    await claimed(installation, { owner, name, key: await device.makeKey() });
    device.write({ workspaces });
    // Neither is ready without the other: the relay proves to the authority what its zone is.
    const relay = installation.run('relay', installation.relayConfig);
    const dns = installation.run('dns', dnsConfig(installation, dnsPort));
    await Promise.all([relay.ready(), dns.ready()]);
    await device.start();
    const parts = { installation, relay, device, pebble, knot, resolver, httpPort };
    return new AcmeVendor(parts, stack.move());
  }

  /** Somebody else with a name here; his device is off. */
  async stranger(owner: string, name: string): Promise<void> {
    const key = await new DeviceFiles(this.installation, name).makeKey();
    await claimed(this.installation, { owner, name, key });
  }

  /** What the customer has at his provider for a domain, from now on; other domains stay as they are. */
  async enter(domain: string, records: readonly CustomerRecord[]): Promise<void> {
    this.#records.set(domain, records);
    await this.#knot.serve(customerZone(CUSTOMER, [...this.#records.values()].flat()));
    await this.#resolver.forget();
  }

  recordsOf(domain: string): readonly CustomerRecord[] {
    return this.#records.get(domain) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function claimed(
  installation: Installation,
  {
    owner,
    name: text,
    key,
  }: { readonly owner: string; readonly name: string; readonly key: PublicKey },
): Promise<void> {
  const name = parseDeviceName(text);
  if (name === undefined) throw new Error(`${text} is no device name`);
  await installation.withRegistry(async (registry) => {
    const identity = { issuer: MAIL_ISSUER, subject: owner, emailVerified: true };
    const { id: ownerId } = await registry.write(signIn({ ...identity, nowMs: Date.now() }));
    const claim = openClaim({ deviceKey: key, address: '203.0.113.7' });
    const { code } = await registry.perform(claim);
    const { kind } = await registry.perform(approveClaim({ code, ownerId, name }));
    if (kind !== 'bound') throw new Error(`${text}: ${kind}`);
  });
}

function dnsConfig({ folder }: Installation, port: number): string {
  const file = join(folder, 'dns.yaml');
  writeFileSync(
    file,
    `zone: ${ZONE}\nlisten: [{ host: 127.0.0.1, port: ${port} }]\n` +
      `state: "${join(folder, 'relay')}"\nttl: { negative: 1 }\n` +
      `nameServers: [{ host: ns1.${ZONE}, addresses: [127.0.0.1], port: ${port} }]\n` +
      'ops: { host: 127.0.0.1, port: 0 }\nresponsesPerSecond: 0\n',
  );
  return file;
}
