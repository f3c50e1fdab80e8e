import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  deviceNameFault,
  type Hostname,
  NAME_LIMITS,
  type Place,
  parseDeviceName,
  parseHostname,
  parseWorkspaceName,
  splitHostname,
  workspaceNameFault,
} from '../../dns/name.ts';

const ZONE = hostname('vendor.dev');

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

const alphanumeric = 'abcdefghijklmnopqrstuvwxyz0123456789';
const labels = fc
  .array(fc.constantFrom(...alphanumeric, '-'), { minLength: 1, maxLength: 63 })
  .map((chars) => chars.join(''))
  .filter((label) => !label.startsWith('-') && !label.endsWith('-'));
const deviceNames = labels.filter((label) => parseDeviceName(label) !== undefined);
const workspaces = labels.filter((label) => parseWorkspaceName(label) !== undefined);

describe('device names', () => {
  test.each(['alice', 'demo', 'ALICE', 'a-b-c', '123', '1-2', 'abc', 'a'.repeat(32), 'home-7'])(
    '%s is one, in lower case',
    (text) => {
      expect(parseDeviceName(text)).toBe(text.toLowerCase());
      expect(deviceNameFault(text)).toBeUndefined();
    },
  );

  test.each([
    ['', 'characters'],
    ['ab', 'characters'],
    ['a'.repeat(33), 'characters'],
    ['-abc', 'hyphen'],
    ['abc-', 'hyphen'],
    ['xn--abc', 'two hyphens'],
    ['a--b', 'two hyphens'],
    ['a_b', 'letters'],
    ['_dmarc', 'letters'],
    ['a.b', 'letters'],
    ['älice', 'letters'],
    ['alice\0', 'letters'],
    ['alice ', 'letters'],
    ['ali\u212Ae', 'letters'],
    ['\uFF41lice', 'letters'],
    ['@[`{', 'letters'],
  ])('%j is none, and the fault says why', (text, why) => {
    expect(parseDeviceName(text)).toBeUndefined();
    expect(deviceNameFault(text)).toContain(why);
  });

  test.each(
    (
      'www mail root admin hostmaster postmaster ssladmin wpad isatap autoconfig autodiscover ' +
      'localhost ns1 ns2 nsx ns-1 tunnel lan api login metadata WWW Ns1'
    ).split(' '),
  )('R-3 %s is reserved', (text) => {
    expect(parseDeviceName(text)).toBeUndefined();
    expect(deviceNameFault(text)).toContain('reserved');
  });

  test('any text is either a canonical name or has a fault', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), labels), (text) => {
        const name = parseDeviceName(text);
        expect(name === undefined).toBe(deviceNameFault(text) !== undefined);
        if (name === undefined) return;
        expect(name).toMatch(/^[a-z0-9]+(?:-[a-z0-9]+)*$/);
        expect(parseDeviceName(name)).toBe(name);
        expect(parseDeviceName(text.toUpperCase())).toBe(name);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('workspace names', () => {
  test('one to 56 characters, so that a port fits into the same label', () => {
    expect(parseWorkspaceName('C')).toBe('c');
    const longest = 'w'.repeat(NAME_LIMITS.workspaceNameCharsMax);
    expect(parseWorkspaceName(longest)).toBe(longest);
    expect(parseHostname(`65535--${longest}.alice.vendor.dev`)).toBeDefined();
    expect(parseWorkspaceName(`${longest}w`)).toBeUndefined();
  });

  test.each(['', '-a', 'a-', 'a--b', 'a.b', 'a_b', 'lan', 'LAN', 'wpad', 'é'])(
    '%j is none',
    (text) => {
      expect(parseWorkspaceName(text)).toBeUndefined();
      expect(workspaceNameFault(text)).toMatch(/^(?:must|may|is)/);
    },
  );
});

describe('hostnames', () => {
  test.each([
    ['A.Vendor.DEV.', 'a.vendor.dev'],
    ['localhost', 'localhost'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['8080--code.alice.vendor.dev', '8080--code.alice.vendor.dev'],
    ['1.2.3.a4', '1.2.3.a4'],
    [`${'a'.repeat(63)}.dev`, `${'a'.repeat(63)}.dev`],
  ])('H1-3 %s is canonically %s', (text, canonical) => {
    expect(parseHostname(text)).toBe(canonical);
  });

  test.each([
    '',
    '.',
    '..',
    'a..b',
    '.a',
    'a.dev..',
    '-a.dev',
    'a-.dev',
    'a_b.dev',
    '*.dev',
    'a b.dev',
    'a.dev:443',
    'user@a.dev',
    'a.dev/',
    'a,b',
    'a.dev\0',
    'a\x07.dev',
    '\x1b[31m.dev',
    'ü.dev',
    '\u212A.dev',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '1.0x7F',
    '[::1]',
    '::1',
    `${'a'.repeat(64)}.dev`,
    `${'a.'.repeat(126)}dev`,
  ])('H1-3 T-1 %j is refused', (text) => {
    expect(parseHostname(text)).toBeUndefined();
  });

  test('the limit of 253 characters does not count a trailing dot', () => {
    const longest = `${'a.'.repeat(125)}dev`;
    expect(longest).toHaveLength(253);
    expect(parseHostname(longest)).toBe(longest);
    expect(parseHostname(`${longest}.`)).toBe(longest);
    expect(parseHostname(`a${longest}`)).toBeUndefined();
  });

  test('T-4 any text gives a canonical hostname or nothing, and never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 300 }),
          fc.array(labels, { minLength: 1, maxLength: 9 }).map((parts) => parts.join('.')),
        ),
        (text) => {
          const parsed = parseHostname(text);
          if (parsed === undefined) return;
          expect(parsed).toMatch(/^[a-z0-9.-]{1,253}$/);
          expect(parseHostname(parsed)).toBe(parsed);
          expect(parseHostname(`${parsed.toUpperCase()}.`)).toBe(parsed);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});

describe('places below a zone', () => {
  const place = (text: string): Place => splitHostname(hostname(text), ZONE);

  test.each<[string, Place['kind']]>([
    ['vendor.dev', 'zone'],
    ['alice.vendor.dev', 'device'],
    ['tunnel.vendor.dev', 'service'],
    ['my.vendor.dev', 'service'],
    ['ns7.vendor.dev', 'service'],
    ['ab.vendor.dev', 'service'],
    ['code.alice.vendor.dev', 'workspace'],
    ['lan.alice.vendor.dev', 'lan'],
    ['wpad.alice.vendor.dev', 'deeper'],
    ['x.tunnel.vendor.dev', 'deeper'],
    ['a.code.alice.vendor.dev', 'deeper'],
    ['dev', 'outside'],
    ['evilvendor.dev', 'outside'],
    ['alice.evilvendor.dev', 'outside'],
    ['alice.vendor.dev.evil.example', 'outside'],
    ['alice.vendor.devil', 'outside'],
    ['vendor.de', 'outside'],
  ])('%s is of kind %s', (text, kind) => {
    expect(place(text).kind).toBe(kind);
  });

  test('the form PORT--WORKSPACE names another port, in one spelling only', () => {
    expect(place('8080--code.alice.vendor.dev')).toEqual({
      kind: 'workspace',
      name: 'alice',
      workspace: 'code',
      port: 8080,
    });
    for (const label of [
      '0',
      '08080',
      '65536',
      '99999',
      '123456',
      '80a',
      '80--lan',
      '80--code--x',
    ]) {
      expect(place(`${label.includes('--') ? label : `${label}--code`}.alice.vendor.dev`)).toEqual({
        kind: 'deeper',
      });
    }
    expect(place('65535--code.alice.vendor.dev')).toMatchObject({ port: 65_535 });
  });

  test('what is put together comes apart again, for any zone', () => {
    const zones = fc.constantFrom(...['vendor.dev', 'localhost', 'a.b.c.example'].map(hostname));
    const ports = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined });
    fc.assert(
      fc.property(zones, deviceNames, workspaces, ports, (zone, name, workspace, port) => {
        const prefix = port === undefined ? '' : `${port}--`;
        expect(splitHostname(hostname(`${name}.${zone}`), zone)).toEqual({ kind: 'device', name });
        expect(splitHostname(hostname(`${prefix}${workspace}.${name}.${zone}`), zone)).toEqual({
          kind: 'workspace',
          name,
          workspace,
          ...(port === undefined ? {} : { port }),
        });
      }),
    );
  });

  test('no two hostnames mean the same place', () => {
    const hostnames = fc
      .array(fc.oneof(labels, fc.constantFrom('lan', 'my', 'alice', '80--code')), { maxLength: 3 })
      .map((parts) => parseHostname([...parts, 'vendor.dev'].join('.')))
      .filter((parsed) => parsed !== undefined);
    fc.assert(
      fc.property(hostnames, hostnames, (one, other) => {
        const [a, b] = [splitHostname(one, ZONE), splitHostname(other, ZONE)];
        if (one === other || a.kind === 'deeper') return;
        expect(a).not.toEqual(b);
      }),
      { numRuns: 2_000 },
    );
  });
});
