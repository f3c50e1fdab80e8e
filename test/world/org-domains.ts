// All of `org` in this process: its DNS, where customers enter their records, and an authority that signs
// for what lies below it when a test says so. What own domains need of the world, without a process.
import { createSecureContext, type SecureContext } from 'node:tls';
import { type Authority, createAuthority } from '../../certs/authority.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { NameServer } from '../../dns/server.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import type { DomainsOptions } from '../../relay/domains/domains.ts';
import { PublicDns } from '../../relay/domains/public-dns.ts';
import { tlsSettings } from '../../relay/entrance/tls-settings.ts';
import { type CustomerRecord, customerZone } from './customer-zone.ts';

const DAY_MS = 86_400_000;

export class OrgDomains implements AsyncDisposable {
  readonly #authority: Authority;
  readonly #source = new MemoryZone(customerZone('org', []));
  readonly #server: NameServer;
  readonly #records = new Map<string, readonly CustomerRecord[]>();
  readonly #contexts = new Map<string, SecureContext>();

  private constructor(authority: Authority) {
    this.#authority = authority;
    const listen = [{ address: '127.0.0.1', port: 0 }];
    this.#server = new NameServer({ listen, source: this.#source, responsesPerSecond: 0 });
  }

  static async open(): Promise<OrgDomains> {
    const world = new OrgDomains(await createAuthority(hostname('org')));
    await world.#server.start();
    return world;
  }

  /** What own domains are looked at with. */
  seen(): Pick<DomainsOptions, 'dns' | 'ca' | 'certificateOf'> {
    const [place] = this.#server.places;
    if (place === undefined) throw new Error('it does not listen');
    return {
      dns: new PublicDns([{ host: place.address, port: place.port }]),
      ca: this.#authority.caPem,
      certificateOf: async (domain) =>
        this.#contexts.has(domain) ? { notAfterMs: Date.now() + DAY_MS } : {},
    };
  }

  /** The records of `example.org` and below are these from now on. */
  enter(domain: string, records: readonly CustomerRecord[]): void {
    this.#records.set(domain, records);
    const all = customerZone('org', [...this.#records.values()].flat());
    const label = domain.split('.').at(-2) ?? '';
    this.#source.apply([[label, all.top.get(label)]]);
  }

  /** The domain gets its certificate. */
  async certify(domain: string): Promise<void> {
    const name = hostname(domain);
    const { certPem, keyPem } = await this.#authority.issue([name, `*.${name}`]);
    const context = createSecureContext({ ...tlsSettings(name), cert: certPem, key: keyPem });
    this.#contexts.set(domain, context);
  }

  context(domain: string): SecureContext | undefined {
    return this.#contexts.get(domain);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
  }
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`${text} is no hostname`);
  return parsed;
}
