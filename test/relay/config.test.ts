import { describe, expect, it } from 'vitest';
import { relayFiles, relaySchema } from '../../relay/config.ts';

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
      state: '/etc/waygate/state',
      ops: { host: '127.0.0.1', port: 9464 },
      accessLog: true,
      drainSeconds: 30,
      limits: { connectionsPerAddress: 2000, streamsPerTunnel: 1000, streamsPerVisitor: 1500 },
    });
    expect(faults({})).toHaveLength(2);
  });

  it('says where its files lie', () => {
    expect(relayFiles({ state: '/var/lib/waygate' })).toEqual({
      registry: '/var/lib/waygate/registry.sqlite',
      vendorKey: '/var/lib/waygate/vendor.key',
      certificates: '/var/lib/waygate/certificates',
    });
  });

  it('takes an absolute path and an IPv6 address as they are', () => {
    const config = { ...minimal, state: '/var/lib/waygate', listen: { host: '::', port: 0 } };
    expect(relaySchema('/etc/waygate').parse(config)).toMatchObject({
      state: '/var/lib/waygate',
      listen: { host: '::', port: 0 },
    });
  });

  it.each([
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
