// What dns.yaml may hold, and that a fault says where it is and what to do.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConfig } from '../../config-file.ts';
import { type DnsConfig, dnsSchema } from '../../dns/config.ts';

const minimal = {
  zone: 'Vendor.DEV.',
  state: 'state',
  nameServers: [{ host: 'NS1.vendor.dev', addresses: ['192.0.2.53'] }, { host: 'ns.else.example' }],
};

function parse(change: object = {}): DnsConfig {
  return dnsSchema('/etc/waygate').parse({ ...minimal, ...change });
}

function faults(change: object): string[] {
  const { success, error } = dnsSchema('/etc/waygate').safeParse({ ...minimal, ...change });
  return success ? [] : error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('dns.yaml', () => {
  it('needs a zone, a registry and name servers; the rest has defaults', () => {
    expect(parse()).toEqual({
      listen: [{ host: '::', port: 53 }],
      registry: { kind: 'state', directory: '/etc/waygate/state' },
      apex: {
        zone: 'vendor.dev',
        nameServers: [
          { host: 'ns1.vendor.dev', addresses: ['192.0.2.53'], port: 53 },
          { host: 'ns.else.example', addresses: [], port: 53 },
        ],
        secondaries: [],
        hostmaster: 'hostmaster@vendor.dev',
        caa: [],
        services: ['tunnel', 'my'],
        ttl: { apex: 3_600, edge: 30, lan: 60, challenges: 1, negative: 30 },
      },
      transfers: {
        tsigKeys: [],
        secondaries: [],
        notifyFrom: [],
        transferLimits: expect.objectContaining({ transfersMax: 10 }),
      },
      responsesPerSecond: 200,
      ops: { host: '127.0.0.1', port: 9466 },
    });
  });

  it('takes the port of metrics alone, as relay.yaml and device.yaml do', () => {
    expect(parse({ ops: { port: 0 } }).ops).toEqual({ host: '127.0.0.1', port: 0 });
  });

  it('takes the registry from a PostgreSQL, but not from two places, nor from none', () => {
    const registry = { postgresUrlFile: 'url' };
    expect(parse({ state: undefined, registry }).registry).toEqual({
      kind: 'postgres',
      urlFile: '/etc/waygate/url',
    });
    expect(faults({ registry })[0]).toMatch(/either "state".*or "registry/);
    expect(faults({ state: undefined })[0]).toMatch(/either "state".*or "registry/);
  });

  it('makes CAA records of issuers', () => {
    const caa = (value: object) => parse({ caa: value }).apex.caa;
    const issuers = [
      { ca: 'letsencrypt.org', validationMethods: ['dns-01', 'dns-02'], accountUri: 'https://a/1' },
      { ca: 'other.example' },
    ];
    expect(caa({ issuers, iodef: 'mailto:security@vendor.dev' })).toEqual([
      '0 issue "letsencrypt.org;validationmethods=dns-01,dns-02;accounturi=https://a/1"',
      '0 issue "other.example"',
      '0 iodef "mailto:security@vendor.dev"',
    ]);
    expect(caa({ issuers: [] })).toEqual(['0 issue ";"']);
  });

  it('knows the host of the portal, inside the zone and outside', () => {
    expect(parse({ portalHost: 'portal.vendor.dev' }).apex.services).toEqual(['tunnel', 'portal']);
    expect(parse({ portalHost: 'my.vendor.com' }).apex.services).toEqual(['tunnel']);
    expect(faults({ portalHost: 'alice.vendor.dev' })[0]).toMatch(/^portalHost: .*no device/);
    expect(faults({ portalHost: 'ns1.vendor.dev' })[0]).toMatch(/^portalHost: .*no device/);
  });

  it.each([
    ['no name server', { nameServers: [] }, /nameServers/],
    ['a name that a device can have', servers({ host: 'dns7.vendor.dev' }), /no device can have/],
    ['a name that is taken', servers({ host: 'tunnel.vendor.dev' }), /no device can have/],
    ['a deeper name', servers({ host: 'a.ns1.vendor.dev' }), /no device can have/],
    ['the zone itself', servers({ host: 'vendor.dev' }), /no device can have/],
    ['no glue', servers({ host: 'ns9.vendor.dev', addresses: [] }), /addresses: .*at least one/],
    ['glue of others', servers({ host: 'ns.else.example' }), /addresses: must be left out/],
    ['one twice', servers({ host: 'ns1.vendor.dev' }, { host: 'ns1.vendor.dev' }), /twice/],
    ['no address', servers({ host: 'ns1.vendor.dev', addresses: ['here'] }), /IP address/],
  ])('refuses name servers: %s', (_, change, pattern) => {
    expect(faults(change).join('\n')).toMatch(pattern);
  });

  it.each([
    { caa: { issuers: [{ ca: 'ca.example', accountUri: 'https://a/"; issue' }] } },
    { caa: { issuers: [{ ca: 'ca.example', accountUri: 'https://a/1;x=y' }] } },
    { caa: { issuers: [{ ca: 'ca example' }] } },
    { caa: { issuers: [{ ca: 'ca.example', validationMethods: ['a b'] }] } },
    { caa: { issuers: [], iodef: 'gopher://x' } },
    { hostmaster: 'nobody' },
    { hostmaster: 'a b@vendor.dev' },
    { ttl: { edge: 1 } },
    { ttl: { challenges: 3_600 } },
    { ttl: { apex: 30 } },
    { listen: [] },
    { listen: [{ host: 'localhost' }] },
    { ops: { host: '127.0.0.1', port: 70_000 } },
    { responsesPerSecond: -1 },
    { transferLimits: { transfersMax: 0 } },
  ])('refuses %j', (change) => {
    expect(faults(change)).toHaveLength(1);
  });

  it('checks keys and secondaries against each other', () => {
    const key = { name: 'NS1-key.', secretFile: 'ns1.tsig' };
    const secondary = { name: 'ns1', address: '192.0.2.1', key: 'ns1-KEY' };
    const both = (change: object) => ({ tsigKeys: [key], secondaries: [secondary], ...change });
    expect(parse(both({})).transfers).toMatchObject({
      tsigKeys: [{ algorithm: 'hmac-sha256', secretFile: '/etc/waygate/ns1.tsig' }],
      secondaries: [{ port: 53, notify: true }],
    });
    // Relays learn of them through the registry, and wait for them with challenges.
    expect(parse(both({})).apex.secondaries).toEqual([
      { name: 'ns1', addresses: ['192.0.2.1'], port: 53 },
    ]);
    expect(faults(both({ tsigKeys: [] }))[0]).toMatch(/^secondaries.0.key: .*"tsigKeys"/);
    expect(faults(both({ tsigKeys: [key, { ...key, name: 'ns1-key' }] }))[0]).toMatch(/two keys/);
    expect(faults(both({ secondaries: [secondary, secondary] }))[0]).toMatch(/two secondaries/);
    expect(faults({ notifyFrom: ['192.0.2.1', '192.0.2.2'] })[0]).toMatch(/at most one IPv4/);
    const prefixes = (...transferFrom: string[]) =>
      faults(both({ secondaries: [{ ...secondary, transferFrom }] }));
    expect(prefixes('192.0.2.0/24', '2001:db8::/32', '::1')).toEqual([]);
    for (const wrong of ['192.0.2.0/33', 'here', '::/129', '1.2.3.4/8/8', '1.2.3.4/']) {
      expect(prefixes(wrong)).toHaveLength(1);
    }
  });

  it('tells the line of a fault', () => {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-dns-config-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'dns.yaml');
    writeFileSync(
      file,
      'zone: vendor.dev\nstate: s\nnameServers:\n  - host: alice.vendor.dev\n    adresses: []\nttl:\n  edge: 1\n',
    );
    expect(() => readConfig(file, dnsSchema)).toThrow(
      /dns\.yaml:5:5: "adresses" is not known.*Did you mean "addresses".*\n.*dns\.yaml:7:9: .*at least 5/s,
    );
    writeFileSync(file, 'zone: vendor.dev\nstate: s\nnameServers:\n  - host: alice.vendor.dev\n');
    expect(() => readConfig(file, dnsSchema)).toThrow(
      /dns\.yaml:4:11: nameServers\[0\]\.host must/,
    );
  });
});

function servers(...list: readonly { readonly host: string; readonly addresses?: string[] }[]) {
  return { nameServers: list.map((each) => ({ addresses: ['192.0.2.9'], ...each })) };
}
