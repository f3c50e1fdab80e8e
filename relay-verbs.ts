// The relay's verbs: what the vendor asks of a relay's state, whether the relay runs or not. Data goes
// to stdout; a running relay sees a change within a second.
import { userInfo } from 'node:os';
import { readConfig } from './config-file.ts';
import { deviceNameFault, parseDeviceName } from './dns/name.ts';
import { openLog } from './log.ts';
import { relayFiles, relaySchema } from './relay/config.ts';
import {
  loadOrCreateKey,
  type PublicKey,
  parsePublicKey,
  publicKeyFault,
} from './relay/protocol/key.ts';
import { openRegistry, type Registry } from './relay/registry/registry.ts';
import { UsageError } from './usage-error.ts';

export interface EnrollRequest {
  readonly name: string;
  readonly deviceKey: string;
  /** The public key of the device that loses the name by this. */
  readonly replacing?: string | undefined;
}

/** Gives a name to a device; the same again changes nothing. */
export async function enroll(config: string, request: EnrollRequest, json: boolean): Promise<void> {
  const name = parseDeviceName(request.name);
  if (name === undefined) {
    throw new UsageError(`--name: "${request.name}" ${deviceNameFault(request.name)}.`);
  }
  const deviceKey = deviceKeyOf('--device-key', request.deviceKey);
  const replacing =
    request.replacing === undefined ? undefined : deviceKeyOf('--replacing', request.replacing);
  const actor = `cli:${userInfo().username}`;
  const outcome = await withRegistry(config, (registry) => {
    const enrolment = { name, deviceKey, actor };
    return registry.enroll(
      replacing === undefined ? enrolment : { ...enrolment, replacing: replacing.thumbprint },
    );
  });
  const said = { name, deviceKey: deviceKey.text, outcome };
  print(json ? JSON.stringify(said) : `${name}: ${outcome}`);
}

/** One line per name, or a JSON array. */
export async function listNames(config: string, json: boolean): Promise<void> {
  const names = await withRegistry(config, (registry) =>
    Promise.all(
      [...registry.snapshot.names()].toSorted().map(async (name) => {
        const device = registry.snapshot.deviceOf(name);
        const seenMs = device && (await registry.lastSeenMs(device.thumbprint));
        return {
          name,
          deviceKey: device?.publicKey ?? '',
          revoked: device?.revoked ?? false,
          lastSeen: seenMs === undefined ? null : new Date(seenMs).toISOString(),
        };
      }),
    ),
  );
  if (json) return print(JSON.stringify(names));
  for (const { name, deviceKey, revoked, lastSeen } of names) {
    const state = revoked ? 'revoked' : (lastSeen ?? 'never seen');
    print(`${name.padEnd(32)}  ${deviceKey}  ${state}`);
  }
}

/** The vendor's public key, which devices pin. */
export async function printVendorKey(config: string, json: boolean): Promise<void> {
  const { vendorKey } = relayFiles(readConfig(config, relaySchema));
  const { publicKey } = await loadOrCreateKey(vendorKey, 'vendor');
  print(json ? JSON.stringify({ vendorKey: publicKey.text }) : publicKey.text);
}

function deviceKeyOf(option: string, text: string): PublicKey {
  const key = parsePublicKey(text, 'device');
  if (key !== undefined) return key;
  throw new UsageError(`${option}: ${publicKeyFault(text, 'device')}`);
}

async function withRegistry<Value>(
  configFile: string,
  work: (registry: Registry) => Promise<Value>,
): Promise<Value> {
  const { registry: file } = relayFiles(readConfig(configFile, relaySchema));
  const { log } = await openLog('relay', 'warn');
  const registry = await openRegistry({ file, log });
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
