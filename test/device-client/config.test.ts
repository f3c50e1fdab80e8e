import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deviceSchema, parseTarget, targetFault } from '../../device-client/config.ts';
import { generateKey } from '../../relay/protocol/key.ts';

const vendorKey = generateKey('vendor').publicKey.text;
const minimal = {
  relay: { url: 'wss://tunnel.vendor.dev', vendorKey },
  key: 'device.key',
  workspaces: [{ name: 'Code', target: 'http://127.0.0.1:8080' }],
};

function faults(value: unknown): string[] {
  const { success, error } = deviceSchema('/etc/waygate').safeParse(value);
  return success ? [] : error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('device.yaml', () => {
  it('needs a relay, a key and a workspace; the rest has defaults', () => {
    const config = deviceSchema('/etc/waygate').parse(minimal);
    expect(config).toMatchObject({
      relay: { url: 'wss://tunnel.vendor.dev/', vendorKey: { role: 'vendor', text: vendorKey } },
      key: '/etc/waygate/device.key',
      certificates: '/etc/waygate/certificates',
      ops: { host: '127.0.0.1', port: 9465 },
      workspaces: [{ name: 'code', target: { kind: 'tcp', host: '127.0.0.1', port: 8080 } }],
    });
  });

  it.each([
    ['ws://tunnel.vendor.dev/', 'must begin with wss://. A tunnel is always encrypted.'],
    ['tunnel.vendor.dev', "must be the relay's address, such as wss://tunnel.vendor.dev/."],
    ['wss://', "must be the relay's address, such as wss://tunnel.vendor.dev/."],
    [
      'wss://a:b@tunnel.vendor.dev/',
      'must have no user or password. The device proves itself with its key.',
    ],
    ['wss://tunnel.vendor.dev/path', 'must have nothing after the host and port but "/".'],
    ['wss://tunnel.vendor.dev/?a', 'must have nothing after the host and port but "/".'],
  ])('refuses the relay URL %s', (url, fault) => {
    expect(faults({ ...minimal, relay: { url, vendorKey } })).toEqual([`relay.url: ${fault}`]);
  });

  it('keeps certificates beside the key, unless it says where', () => {
    const parse = (value: object) => deviceSchema('/etc/waygate').parse({ ...minimal, ...value });
    expect(parse({ key: '/var/lib/d/device.key' }).certificates).toBe('/var/lib/d/certificates');
    expect(parse({ certificates: 'c' }).certificates).toBe('/etc/waygate/c');
    expect(faults({ ...minimal, certificates: '' })).not.toEqual([]);
  });

  it('takes the file of an order code, and a serial number', () => {
    const claim = { codeFile: 'order.code', serial: 'SN-7' };
    expect(deviceSchema('/etc/waygate').parse({ ...minimal, claim }).claim).toEqual({
      codeFile: '/etc/waygate/order.code',
      serial: 'SN-7',
    });
    const wrong = [{}, { codeFile: '' }, { codeFile: 'x', serial: 'x'.repeat(65) }, { code: 'x' }];
    for (const each of wrong) expect(faults({ ...minimal, claim: each })).not.toEqual([]);
  });

  it("refuses a device's key in place of the vendor's, and says where to find that", () => {
    const { text } = generateKey('device').publicKey;
    const [fault] = faults({ ...minimal, relay: { ...minimal.relay, vendorKey: text } });
    expect(fault).toContain('This is the key of a device');
    expect(fault).toContain('waygate relay key');
    expect(fault).not.toContain(text);
  });

  it('refuses two workspaces of one name, whatever the letters', () => {
    const target = 'http://127.0.0.1:1';
    const workspaces = ['code', 'notes', 'CODE'].map((name) => ({ name, target }));
    expect(faults({ ...minimal, workspaces })).toEqual([
      'workspaces.2.name: is the name of a workspace above. Choose another.',
    ]);
    expect(faults({ ...minimal, workspaces: [] })).toHaveLength(1);
    expect(faults({ ...minimal, workspaces: [{ name: 'a--b', target }] })).toHaveLength(1);
  });

  it('refuses an address that is none', () => {
    const relay = { ...minimal.relay, address: 'tunnel.vendor.dev' };
    expect(faults({ ...minimal, relay })).toEqual([
      'relay.address: must be an IP address, such as 192.0.2.1.',
    ]);
  });
});

describe('the target of a workspace', () => {
  it.each([
    ['http://127.0.0.1:8080', { kind: 'tcp', host: '127.0.0.1', port: 8080 }],
    ['http://127.0.0.1:8080/', { kind: 'tcp', host: '127.0.0.1', port: 8080 }],
    ['HTTP://Editor.Home:1', { kind: 'tcp', host: 'editor.home', port: 1 }],
    ['http://localhost', { kind: 'tcp', host: 'localhost', port: 80 }],
    ['http://[::1]:3000', { kind: 'tcp', host: '::1', port: 3000 }],
    ['unix:/run/app.sock', { kind: 'unix', path: '/run/app.sock' }],
  ])('%s is understood', (text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  it.each([
    ['https://127.0.0.1:8080', 'must begin with http://'],
    ['127.0.0.1:8080', 'must be http://HOST:PORT or unix:/PATH.'],
    ['http:127.0.0.1', 'must be http://HOST:PORT or unix:/PATH.'],
    ['http://a:1/path', 'must end after the port.'],
    ['http://a:1/?', 'must end after the port.'],
    ['http://a:1/#', 'must end after the port.'],
    ['http://user@a:1', 'must have no user or password.'],
    ['http://:secret@a:1', 'must have no user or password.'],
    ['http://a:0', 'must have a port from 1 to 65535.'],
    ['http://a:65536', 'must be http://HOST:PORT, without'],
    ['http://a\\b:1', 'must be http://HOST:PORT, without'],
    ['http://a :1', 'must be http://HOST:PORT, without'],
    ['http://\u{212a}:1', 'must be http://HOST:PORT, without'],
    ['unix:app.sock', 'must name an absolute path'],
    ['unix:', 'must name an absolute path'],
    [`unix:/${'x'.repeat(103)}`, 'has a longer path than'],
    ['unix:/a\0b', 'must have no zero byte.'],
  ])('%j is refused with the reason', (text, fault) => {
    expect(targetFault(text)).toContain(fault);
    expect(parseTarget(text)).toBeUndefined();
  });

  it('never has what was written repeated: it may hold a password', () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true }), (url) => {
        const fault = targetFault(url.replace('://', '://user:hunter2@'));
        expect(fault).toBeDefined();
        expect(fault).not.toContain('hunter2');
      }),
    );
  });
});
