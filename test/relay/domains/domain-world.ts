// The world in which own domains are looked at: the vendor's zone, served from a registry by our name
// server; a customer's zone `example.org`, served by a real Knot; BIND as the resolver that sees both; and
// a server that speaks HTTPS for the domain, as a relay does. The test moves the clock.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type Authority, createAuthority } from '../../../certs/authority.ts';
import type { CertificateName } from '../../../certs/certificate.ts';
import { parseHostname } from '../../../dns/name.ts';
import { NameServer } from '../../../dns/server.ts';
import type { CertificateState } from '../../../relay/domains/checks.ts';
import { Domains, type DomainsOptions } from '../../../relay/domains/domains.ts';
import type { WantedDomainCertificate } from '../../../relay/domains/look.ts';
import { PublicDns } from '../../../relay/domains/public-dns.ts';
import type { DomainChange, DomainReport, DomainStep } from '../../../relay/domains/report.ts';
import { enroll } from '../../../relay/registry/deeds/enroll.ts';
import { type OwnDomain, parseOwnDomain } from '../../../relay/registry/deeds/own-domain.ts';
import { registerRelay } from '../../../relay/registry/deeds/relay-alive.ts';
import { configureApex } from '../../../relay/registry/deeds/zone-apex.ts';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import { openZoneFeed } from '../../../relay/registry/zone-feed.ts';
import { type CustomerRecord, customerZone } from '../../world/customer-zone.ts';
import { KnotServer } from '../../world/knot-server.ts';
import { RecursiveResolver } from '../../world/resolver.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { hostname, settings } from '../registry/zone-fixture.ts';

const ZONE = hostname('vendor.example');
export const CUSTOMER = 'example.org';
export const DAY = 86_400_000;
/** Ours at the authority `ca.example`. */
export const ACCOUNT = 'https://ca.example/acct/1';
/** Where our relay is, in this world. */
export const RELAY = '127.0.0.1';

export function ownDomain(text: string): OwnDomain {
  const parsed = parseOwnDomain(text, ZONE);
  if (parsed === undefined) throw new Error(`no own domain: ${text}`);
  return parsed;
}

export type Holder = Awaited<ReturnType<DomainWorld['holder']>>;

export class DomainWorld implements AsyncDisposable {
  nowMs = Date.UTC(2026, 10, 1);
  readonly registry: Registry;
  readonly resolver: RecursiveResolver;
  readonly knot: KnotServer;
  readonly domains: Domains;
  /** What owners were told. */
  readonly told: DomainChange[] = [];
  /** What certificates were ordered for, in order. */
  readonly wanted: WantedDomainCertificate[] = [];
  /** What is said of the certificate of a domain. */
  readonly certificates = new Map<string, CertificateState>();
  readonly log: string[] = [];
  readonly #https: Server;
  readonly #authority: Authority;
  readonly #stack: AsyncDisposableStack;
  #names = 0;

  private constructor(
    parts: Pick<DomainWorld, 'registry' | 'resolver' | 'knot'>,
    https: { readonly server: Server; readonly authority: Authority },
    stack: AsyncDisposableStack,
  ) {
    this.registry = parts.registry;
    this.resolver = parts.resolver;
    this.knot = parts.knot;
    this.#https = https.server;
    this.#authority = https.authority;
    this.#stack = stack;
    this.domains = this.another();
  }

  static async open(): Promise<DomainWorld> {
    await using stack = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'waygate-domains-'));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const log = pino({ level: 'silent' });
    const clock: { world?: DomainWorld } = {};
    const now = () => clock.world?.nowMs ?? Date.UTC(2026, 10, 1);
    const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
    const registry = await openRegistry({ database, log, now });
    stack.defer(() => registry.close());
    await registry.perform(configureApex(settings({ ttl: { ...settings().ttl, negative: 1 } })));
    await registry.perform(registerRelay({ id: 'relay-1', addresses: [RELAY] }));
    const feed = await openZoneFeed(registry, log);
    stack.defer(() => feed.close());
    const server = new NameServer({ listen: [{ address: RELAY, port: 0 }], source: feed });
    await server.start();
    stack.defer(() => server.stop());
    const knot = stack.use(await KnotServer.start(customerZone(CUSTOMER, [])));
    const resolver = stack.use(
      await RecursiveResolver.start([
        { zone: ZONE, servers: server.places },
        { zone: CUSTOMER, servers: [knot] },
      ]),
    );
    const authority = await createAuthority(hostname(CUSTOMER));
    const https = await listening(authority);
    stack.defer(() => void https.close());
    const parts = { registry, resolver, knot };
    const world = new DomainWorld(parts, { server: https, authority }, stack.move());
    clock.world = world;
    return world;
  }

  /** As a relay has it, with what is to be different. */
  another(change: Partial<DomainsOptions> = {}): Domains {
    const address = this.#https.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const domains = new Domains({
      registry: this.registry,
      zone: ZONE,
      dns: new PublicDns([this.resolver]),
      caaIssuers: [{ identities: ['ca.example'], account: ACCOUNT }],
      plainHttp: true,
      certificateOf: async (domain) => this.certificates.get(domain) ?? {},
      want: async (wanted) => void this.wanted.push(wanted),
      tell: (news) => async () => void this.told.push(news),
      publicPort: () => port,
      ca: this.#authority.caPem,
      now: () => this.nowMs,
      log: pino({}, { write: (line: string) => void this.log.push(line) }),
      limits: { againAfterMs: 0 },
      ...change,
    });
    this.#stack.defer(() => domains.stop());
    return domains;
  }

  /** Somebody with a device. */
  async holder() {
    this.#names += 1;
    const [name, key] = [deviceName(`device-${this.#names}`), deviceKey()];
    await this.registry.perform(enroll({ name, deviceKey: key, actor: 'test' }));
    return { name, by: { kind: 'device', thumbprint: key.thumbprint } } as const;
  }

  /** What the customer has at his provider, from a moment later on. */
  async enter(...records: readonly CustomerRecord[]): Promise<void> {
    this.nowMs += 1_000;
    await this.knot.serve(customerZone(CUSTOMER, records));
    await this.resolver.forget();
  }

  /** Adds a domain and gives its records as they are entered at a provider: the CNAME, not addresses. */
  async add(domain: string, holder: Holder, wildcard = false) {
    const report = await this.domains.add({ ...holder, domain: ownDomain(domain), wildcard });
    return { report, ...recordsOf(report) };
  }

  /** Adds, enters, looks: proven. */
  async proven(domain: string, holder: Holder, wildcard = false) {
    const added = await this.add(domain, holder, wildcard);
    await this.enter(...added.all);
    const report = await this.check(domain, holder);
    if (report.state !== 'proven') throw new Error(JSON.stringify(report.steps));
    return added;
  }

  check(domain: string, { by }: Pick<Holder, 'by'>): Promise<DomainReport> {
    return this.domains.check({ domain: ownDomain(domain), by });
  }

  /** The server answers for these names from now on, and their certificate is known. */
  async certify(domain: string, ...more: readonly CertificateName[]): Promise<void> {
    const names = [hostname(domain), ...more];
    const { certPem, keyPem } = await this.#authority.issue(names);
    for (const name of names) this.#https.addContext(name, { cert: certPem, key: keyPem });
    this.certificates.set(domain, { notAfterMs: this.nowMs + 30 * DAY });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Of a report: what the CNAME way needs, at the top the address, by its purpose. */
export function recordsOf({ entries, domain }: DomainReport) {
  const record = (type: string, owner: string): CustomerRecord => {
    const entry = entries.find((each) => each.type === type && each.owner === owner);
    if (entry === undefined) throw new Error(`no ${type} at ${owner}`);
    if (type === 'A') return [owner, type, entry.value];
    return [owner, type, type === 'TXT' ? `"${entry.value}"` : `${entry.value}.`];
  };
  const proof = record('TXT', `_waygate.${domain}`);
  const top = entries.every(({ type, owner }) => type !== 'CNAME' || owner !== domain);
  const routing = record(top ? 'A' : 'CNAME', domain);
  const below = entries
    .filter(({ needed }) => needed === 'wildcard')
    .map(({ type, owner }) => record(type, owner));
  return { proof, routing, below, all: [proof, routing, ...below] };
}

export function step(report: DomainReport, which: DomainStep['step']): DomainStep {
  const found = report.steps.find((each) => each.step === which);
  if (found === undefined) throw new Error(`no step ${which}`);
  return found;
}

/** `ok ok ok waiting waiting` */
export function states({ steps }: DomainReport): string {
  return steps.map(({ state }) => state).join(' ');
}

async function listening(authority: Authority): Promise<Server> {
  const other = parseHostname(`other.${CUSTOMER}`);
  if (other === undefined) throw new Error('no name');
  const { certPem, keyPem } = await authority.issue([other]);
  const server = createServer({ cert: certPem, key: keyPem });
  server.listen(0, RELAY);
  await once(server, 'listening');
  return server;
}
