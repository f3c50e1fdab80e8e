import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { relayFiles, relaySchema } from '../../relay/config.ts';
import { NAME_POLICY } from '../../relay/registry/policy.ts';

const minimal = { zone: 'Vendor.DEV.', state: 'state' };

function faults(value: unknown): string[] {
  const { success, error } = relaySchema('/etc/waygate').safeParse(value);
  return success ? [] : error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('relay.yaml', () => {
  it('needs a zone and a place for its state; the rest has defaults', () => {
    expect(relaySchema('/etc/waygate').parse(minimal)).toEqual({
      zone: 'vendor.dev',
      listen: { host: '0.0.0.0', port: 443 },
      id: hostname(),
      state: '/etc/waygate/state',
      registry: {},
      ops: { host: '127.0.0.1', port: 9464 },
      accessLog: true,
      drainSeconds: 30,
      limits: { connectionsPerAddress: 2000, streamsPerTunnel: 1000, streamsPerVisitor: 1500 },
      portal: { oidc: [] },
      names: NAME_POLICY,
      devices: {},
      certificates: { authorities: [] },
      domains: { resolvers: [] },
    });
    expect(faults({})).toHaveLength(2);
  });

  it('says where its files lie', () => {
    expect(relayFiles({ state: '/var/lib/waygate' })).toEqual({
      registry: '/var/lib/waygate/registry.sqlite',
      vendorKey: '/var/lib/waygate/vendor.key',
      certificates: '/var/lib/waygate/certificates',
      envelopeKey: '/var/lib/waygate/envelope.key',
    });
  });

  it('answers plain HTTP only where it is told to', () => {
    const http = (value: unknown) => relaySchema('/').parse({ ...minimal, http: value }).http;
    expect(http(undefined)).toBeUndefined();
    expect(http({})).toEqual({ host: '0.0.0.0', port: 80 });
    expect(http({ host: '::', port: 8080 })).toEqual({ host: '::', port: 8080 });
  });

  it('takes authorities, and says what is wrong with one', () => {
    const acme = { name: 'acme', directory: 'https://ca.example/dir' };
    const read = (certificates: unknown) =>
      relaySchema('/etc/waygate').parse({ ...minimal, certificates }).certificates;
    const keyFile = 'eab';
    expect(
      read({
        authorities: [{ ...acme, caFile: 'ca.pem', externalAccount: { keyId: 'a', keyFile } }],
      }),
    ).toEqual({
      authorities: [
        {
          ...acme,
          caFile: '/etc/waygate/ca.pem',
          externalAccount: { keyId: 'a', keyFile: '/etc/waygate/eab' },
          budget: { ordersPer3Hours: 300, certificatesPerWeek: 50 },
        },
      ],
    });
    const wrong = (...authorities: readonly object[]) =>
      faults({ ...minimal, certificates: { authorities } });
    expect(wrong({ ...acme, directory: 'http://ca.example/dir' })).toEqual([
      'certificates.authorities.0.directory: must be the https address of an ACME directory.',
    ]);
    expect(wrong(acme, acme)).toEqual([
      'certificates.authorities.1.name: is the name of an authority above. Choose another.',
    ]);
    expect(wrong({ ...acme, contact: 'ops' })).toEqual([
      expect.stringMatching(/contact: must be a mail address, such as /),
    ]);
    expect(wrong({ ...acme, budget: { ordersPer3Hours: 0 } })).toHaveLength(1);
    // The key itself would be in a file that everybody may read.
    expect(wrong({ ...acme, externalAccount: { keyId: 'a', hmacKey: 'b' } })).toHaveLength(2);
  });

  it('takes resolvers for own domains, and says what is wrong with one', () => {
    const domains = { resolvers: [{ host: '127.0.0.1' }], publicPort: 8443, rootFile: 'root.pem' };
    expect(relaySchema('/etc/waygate').parse({ ...minimal, domains }).domains).toEqual({
      resolvers: [{ host: '127.0.0.1', port: 53 }],
      publicPort: 8443,
      rootFile: '/etc/waygate/root.pem',
    });
    expect(faults({ ...minimal, domains: { resolvers: [{ host: 'dns.example' }] } })).toEqual([
      expect.stringMatching(/^domains\.resolvers\.0\.host: must be the IP address of a recursive/),
    ]);
  });

  it('takes an absolute path and an IPv6 address as they are', () => {
    const config = { ...minimal, state: '/var/lib/waygate', listen: { host: '::', port: 0 } };
    expect(relaySchema('/etc/waygate').parse(config)).toMatchObject({
      state: '/var/lib/waygate',
      listen: { host: '::', port: 0 },
    });
  });

  it('takes a file with the URL of the database', () => {
    const registry = { postgresUrlFile: 'postgres-url' };
    expect(relaySchema('/etc/waygate').parse({ ...minimal, registry })).toMatchObject({
      registry: { postgresUrlFile: '/etc/waygate/postgres-url' },
    });
    // Not the URL itself, which would be a password in a file that everybody may read.
    const faulty = { ...minimal, registry: { postgresUrl: 'postgres://a:b@c/d' } };
    expect(relaySchema('/').safeParse(faulty).success).toBe(false);
  });

  it('takes which device software is refused, and says what is wrong with it', () => {
    const devices = {
      minimumVersion: '1.2.0',
      refused: ['0.9.1', 'acme/<2.0.0'],
      updateUrl: 'https://vendor.dev/update',
    };
    expect(relaySchema('/').parse({ ...minimal, devices })).toMatchObject({ devices });
    expect(faults({ ...minimal, devices: { minimumVersion: '1.2' } })).toEqual([
      'devices.minimumVersion: must be a version of three numbers, such as 1.2.0.',
    ]);
    expect(faults({ ...minimal, devices: { refused: ['new'] } })).toEqual([
      expect.stringMatching(/^devices\.refused\.0: must be a version or a range/),
    ]);
    expect(faults({ ...minimal, devices: { updateUrl: 'http://vendor.dev/' } })).toEqual([
      expect.stringMatching(/^devices\.updateUrl: must be an https:\/\/ address/),
    ]);
  });

  it('reads how long the states of a name last, with their units', () => {
    const names = { renameGrace: '2d', quarantine: '3h', recoveryDelay: '4m', claimCode: '5s' };
    expect(
      relaySchema('/').parse({ ...minimal, names: { ...names, brands: ['waygate'] } }),
    ).toEqual(
      expect.objectContaining({
        names: {
          ...NAME_POLICY,
          renameGraceMs: 172_800_000,
          quarantineMs: 10_800_000,
          recoveryDelayMs: 240_000,
          claimTtlMs: 5_000,
          brands: ['waygate'],
        },
      }),
    );
  });

  it.each<[unknown, string]>([
    ...['', '0s', '1', '1w', '-1s', '1.5h', '1 h', '1e3s', '3651d', '999999999d', '1h30m'].map(
      (text): [unknown, string] => [
        { ...minimal, names: { quarantine: text } },
        'names.quarantine: must be a time',
      ],
    ),
    [{ ...minimal, names: { quarantine: 90 } }, 'names.quarantine: Invalid input'],
    [{ ...minimal, names: { brands: ['Vendor'] } }, 'names.brands.0: must be a word'],
    [{ ...minimal, zone: 'a b' }, 'zone: must be a domain name, such as vendor.dev.'],
    [{ ...minimal, zone: '192.0.2.1' }, 'zone: must be a domain name, such as vendor.dev.'],
    [
      { ...minimal, listen: { host: 'localhost' } },
      'listen.host: must be an IP address of this machine',
    ],
    [{ ...minimal, drainSeconds: -1 }, 'drainSeconds: Too small'],
    [{ ...minimal, drainSeconds: 3601 }, 'drainSeconds: Too big'],
    [{ ...minimal, limits: { streamsPerTunnel: 10_001 } }, 'limits.streamsPerTunnel: Too big'],
    [
      { ...minimal, limits: { connectionsPerAddress: 0 } },
      'limits.connectionsPerAddress: Too small',
    ],
  ])('refuses %j', (config, fault) => {
    const found = faults(config);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(fault);
  });
});
