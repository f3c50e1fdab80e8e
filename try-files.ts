// The files of a whole vendor and one device, in one directory: configurations that a person can look
// at, keys, and the local CA. What is there already is kept, so that the next start is the same
// vendor and the same device; only the configurations are written anew.
import { join } from 'node:path';
import { caFile, openAuthority } from './certs/authority.ts';
import { openStore } from './certs/store.ts';
import type { DeviceName, Hostname } from './dns/name.ts';
import { relayFiles } from './relay/config.ts';
import { loadOrCreateKey } from './relay/protocol/key.ts';
import { CODE_FILE, prepareName } from './try-name.ts';

export interface TryWorkspace {
  readonly name: string;
  /** As in device.yaml: `http://HOST:PORT` or `unix:/PATH`. */
  readonly target: string;
}

export interface TryPlan {
  /** Absolute. */
  readonly directory: string;
  readonly zone: Hostname;
  readonly address: string;
  readonly port: number;
  readonly dnsPort: number;
  readonly workspaces: readonly TryWorkspace[];
}

export interface ProgramFiles {
  readonly configFile: string;
  readonly logFile: string;
}

export interface TryFiles {
  /** What the device is called. */
  readonly name: DeviceName;
  readonly relay: ProgramFiles;
  readonly device: ProgramFiles;
  readonly dns: ProgramFiles;
  /** The CA's certificate, for `curl --cacert`. */
  readonly ca: string;
  readonly caPem: string;
}

export async function writeTryFiles(plan: TryPlan): Promise<TryFiles> {
  const { directory, zone } = plan;
  const state = relayFiles({ state: join(directory, 'relay') });
  const certificates = await openStore(state.certificates);
  const { caPem } = await openAuthority(certificates, zone);
  const vendor = await loadOrCreateKey(state.vendorKey, 'vendor');
  const device = await loadOrCreateKey(join(directory, 'device.key'), 'device');
  const ca = caFile(certificates, zone);
  const configs = await openStore(directory);
  const registry = state.registry;
  const name = await prepareName({ registry, zone, deviceKey: device.publicKey, store: configs });
  await configs.write('relay.yaml', relayYaml(plan));
  await configs.write('device.yaml', deviceYaml(plan, vendor.publicKey.text, ca));
  await configs.write('dns.yaml', dnsYaml(plan));
  return {
    name,
    relay: programFiles(directory, 'relay'),
    device: programFiles(directory, 'device'),
    dns: programFiles(directory, 'dns'),
    ca,
    caPem,
  };
}

function programFiles(directory: string, program: string): ProgramFiles {
  return {
    configFile: join(directory, `${program}.yaml`),
    logFile: join(directory, `${program}.log`),
  };
}

const HEAD = '# Written by `waygate try` at every start. Copy it to change it.\n';

function relayYaml({ zone, address, port }: TryPlan): string {
  return `${HEAD}
zone: ${text(zone)}
listen:
  host: ${text(address)}
  port: ${port}
state: relay
ops:
  host: 127.0.0.1
  port: 0
# How long running streams may finish when the relay stops.
drainSeconds: 1
portal:
  # Sign-in links are shown by "waygate try" instead of being sent.
  mail: { print: true }
`;
}

function dnsYaml({ zone, address, dnsPort }: TryPlan): string {
  return `${HEAD}
zone: ${text(zone)}
listen:
  - host: ${text(address)}
    port: ${dnsPort}
# Where the relay keeps the names.
state: relay
nameServers:
  - host: ${text(`ns1.${zone}`)}
    addresses: [${text(address)}]
ops:
  host: 127.0.0.1
  port: 0
`;
}

function deviceYaml(
  { zone, address, port, workspaces }: TryPlan,
  vendorKey: string,
  ca: string,
): string {
  const entries = workspaces.map(
    ({ name, target }) => `  - name: ${text(name)}\n    target: ${text(target)}\n`,
  );
  return `${HEAD}
relay:
  url: ${text(`wss://tunnel.${zone}:${port}/`)}
  # Only a relay that proves to hold this key is believed.
  vendorKey: ${text(vendorKey)}
  ca: ${text(ca)}
  # No resolver knows a vendor that exists on this machine alone.
  address: ${text(address)}
key: device.key
# Redeemed at the first boot.
claim: { codeFile: ${CODE_FILE} }
ops:
  host: 127.0.0.1
  port: 0
workspaces:
${entries.join('')}`;
}

/** Every JSON string is a YAML string, so that nothing in it can be read as more than text. */
function text(value: string): string {
  return JSON.stringify(value);
}
