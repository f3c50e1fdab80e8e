// What a device may publish as its address on its network. The attack is DNS rebinding.
import { describe, expect, it } from 'vitest';
import {
  LAN_LIMITS,
  parseLanAddress,
  setLanAddresses,
} from '../../../../relay/registry/deeds/lan-addresses.ts';
import { deviceKey, deviceName, makeWorld } from '../fixture.ts';

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['172.16.0.1', '172.16.0.1'],
    ['172.31.255.255', '172.31.255.255'],
    ['192.168.178.20', '192.168.178.20'],
    ['FD00:0::0001', 'fd00::1'],
    ['fc00::1', 'fc00::1'],
    ['2a02:8108:0:0::7', '2a02:8108::7'],
  ])('%s is published', (text, expected) => {
    expect(parseLanAddress(text)).toBe(expected);
  });

  it.each([
    // This machine, the visitor's own.
    ...['127.0.0.1', '127.8.8.8', '0.0.0.0', '0.1.2.3', '::1', '::'],
    // Everybody near.
    ...['169.254.169.254', '169.254.1.1', 'fe80::1', 'fe80::1%eth0', '224.0.0.251', 'ff02::fb'],
    ...['255.255.255.255', '239.1.1.1', '240.0.0.1'],
    // Carriers, and everybody's servers.
    ...['100.64.0.1', '8.8.8.8', '172.15.0.1', '172.32.0.1', '192.167.0.1', '11.0.0.1'],
    // IPv4 in disguise.
    ...['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::127.0.0.1', '2002:7f00:1::', '2001::7f00:1'],
    ...['64:ff9b::7f00:1', '2001:db8::1', '3fff::1', '4000::1'],
    // Not addresses at all.
    ...['', ' 10.0.0.1', '10.0.0.1 ', '010.0.0.1', '10.1', '0x0a000001', '167772161', 'fd00::g'],
    ...['10.0.0.1\n', '10.0.0.1/8', 'localhost', '[fd00::1]'],
  ])('%j is refused', (text) => {
    expect(parseLanAddress(text)).toBeUndefined();
  });

  it('are at most eight, each in its one spelling, in one order', async () => {
    const registry = await (await makeWorld()).open();
    const key = deviceKey();
    const name = deviceName('alice');
    await registry.enroll({ name, deviceKey: key, actor: 'test' });
    const { thumbprint } = key;
    const set = (...addresses: string[]) =>
      registry.perform(setLanAddresses({ thumbprint, addresses }));
    expect(await set('fd00::2', '10.0.0.1', 'FD00:0::2')).toBe('changed');
    expect(await set('10.0.0.1', 'fd00::2')).toBe('unchanged');
    const many = Array.from({ length: LAN_LIMITS.addressesMax + 1 }, (_, at) => `10.0.0.${at}`);
    await expect(async () => set(...many)).rejects.toMatchObject({ code: 'ERR_ADDRESS_REFUSED' });
    await expect(async () => set('127.0.0.1')).rejects.toThrow(/Leave the others out/);
    expect(await set()).toBe('changed');
  });

  it('are told by a device that is known, and not by one that is barred', async () => {
    const registry = await (await makeWorld()).open();
    const { thumbprint, ...key } = deviceKey();
    const change = setLanAddresses({ thumbprint, addresses: ['10.0.0.1'] });
    await expect(registry.perform(change)).rejects.toMatchObject({ code: 'ERR_DEVICE_UNKNOWN' });
    const deviceName_ = deviceName('alice');
    await registry.enroll({
      name: deviceName_,
      deviceKey: { ...key, thumbprint },
      actor: 'test',
    });
    await registry.revoke({ thumbprint, actor: 'test' });
    await expect(registry.perform(change)).rejects.toMatchObject({ code: 'ERR_DEVICE_UNKNOWN' });
  });
});
