// What the example configurations in deploy/ promise: each setting that a program knows stands in its
// example, and with everything that is commented out there the example is valid.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../config-file.ts';
import { deviceSchema } from '../device-client/config.ts';
import { dnsSchema } from '../dns/config.ts';
import { relaySchema } from '../relay/config.ts';
import { generateKey } from '../relay/protocol/key.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'waygate-examples-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Without the signs that comment settings out; a sentence is no setting, nor is what it comments. */
function everything(program: string): string {
  return readFileSync(`deploy/${program}.yaml`, 'utf8').replace(/^( *)# (?=[a-zA-Z]+:| )/gm, '$1');
}

describe('the examples in deploy/', () => {
  it.each([
    ['relay', relaySchema],
    ['dns', dnsSchema],
    ['device', deviceSchema],
  ] as const)('%s.yaml has every setting that there is', (program, schema) => {
    const found = [...settings(schema('/'))].filter(
      (name) => !new RegExp(`(^|[ {])${name}:`, 'm').test(everything(program)),
    );
    expect(found).toEqual([]);
  });

  it('a setting that is missing would be found', () => {
    expect([...settings(relaySchema('/'))]).toEqual(
      expect.arrayContaining(['zone', 'trustEmail', 'preferredChain', 'minimumVersion', 'brands']),
    );
    expect([...settings(deviceSchema('/'))]).toContain('serial');
  });

  it('relay.yaml is valid with all that is commented out', () => {
    const file = join(folder, 'relay.yaml');
    writeFileSync(file, everything('relay'));
    const { portal, certificates, limits, devices } = readConfig(file, relaySchema);
    expect([portal.oidc.length, portal.mail?.smtp?.port]).toEqual([1, 587]);
    expect(certificates.authorities.map(({ name }) => name)).toEqual(['letsencrypt', 'second']);
    expect(limits.requestsPerSecondPerAddress).toBe(100);
    expect(devices.minimumVersion).toBe('0.1.0');
  });

  it('device.yaml is valid with all that is commented out', () => {
    const file = join(folder, 'device.yaml');
    const { text } = generateKey('vendor').publicKey;
    writeFileSync(file, everything('device').replace(/waygate-vendor:\S+/, text));
    const { claim, relay, certificates } = readConfig(file, deviceSchema);
    expect([claim?.serial, relay.address]).toEqual(['SN-0001', '192.0.2.1']);
    expect(certificates).toBe('/var/lib/waygate/certificates');
  });
});

/** The names of all settings of a schema, at any depth, found in what zod keeps of it. */
function* settings(schema: unknown): Generator<string> {
  const shape = member(schema, 'shape');
  if (typeof shape === 'object' && shape !== null) {
    for (const [name, inner] of Object.entries(shape)) {
      yield name;
      yield* settings(inner);
    }
    return;
  }
  // An optional one, one with a default, a list, and what is made of a setting wrap another schema.
  const definition = member(schema, 'def');
  for (const wrapped of ['innerType', 'element', 'in']) {
    const inner = member(definition, wrapped);
    if (inner !== undefined) yield* settings(inner);
  }
}

function member(holder: unknown, name: string): unknown {
  return typeof holder === 'object' && holder !== null ? Reflect.get(holder, name) : undefined;
}
