// The files of a whole vendor and one device, in one directory: configurations that a person can look
// at, keys, and the local CA. What is there already is kept, so that the next start is the same
// vendor and the same device; only the configurations are written anew.
import { join } from 'node:path';
import { caFile, openAuthority } from './certs/authority.ts';
import { openStore, type Store } from './certs/store.ts';
import type { DeviceName, Hostname } from './dns/name.ts';
import { relayFiles } from './relay/config.ts';
import { loadOrCreateKey } from './relay/protocol/key.ts';
import type { TryAuthority } from './try-authority.ts';
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
  /** Absent: the local one. */
  readonly authority: TryAuthority | undefined;
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
  /** What visitors have to trust, for `curl --cacert`; absent: nothing that they do not trust anyway. */
  readonly ca: CaFile | undefined;
}

export interface CaFile {
  readonly path: string;
  readonly pem: string;
}

export async function writeTryFiles(plan: TryPlan): Promise<TryFiles> {
  const { directory, zone } = plan;
  const state = relayFiles({ state: join(directory, 'relay') });
  const vendor = await loadOrCreateKey(state.vendorKey, 'vendor');
  const device = await loadOrCreateKey(join(directory, 'device.key'), 'device');
  const configs = await openStore(directory);
  const ca = await trusted(plan, configs);
  const registry = state.registry;
  const name = await prepareName({ registry, zone, deviceKey: device.publicKey, store: configs });
  await configs.write('relay.yaml', relayYaml(plan));
  await configs.write('device.yaml', deviceYaml(plan, vendor.publicKey.text, ca?.path));
  await configs.write('dns.yaml', dnsYaml(plan));
  return {
    name,
    relay: programFiles(directory, 'relay'),
    device: programFiles(directory, 'device'),
    dns: programFiles(directory, 'dns'),
    ca,
  };
}

/** The local authority's root; or the file that will hold what a private authority is known by. */
async function trusted(plan: TryPlan, configs: Store): Promise<CaFile | undefined> {
  const { directory, zone, authority } = plan;
  if (authority === undefined) {
    const certificates = await openStore(
      relayFiles({ state: join(directory, 'relay') }).certificates,
    );
    const { caPem } = await openAuthority(certificates, zone);
    return { path: caFile(certificates, zone), pem: caPem };
  }
  return authority.private && writeTrust(configs, authority.private.caPem);
}

/** What a private authority is known by, for the device and for visitors. */
export async function writeTrust(configs: Store, pem: string): Promise<CaFile> {
  await configs.write(ACME_CA, pem, 0o644);
  return { path: join(configs.directory, ACME_CA), pem };
}

const ACME_CA = 'acme-ca.pem';

function programFiles(directory: string, program: string): ProgramFiles {
  return {
    configFile: join(directory, `${program}.yaml`),
    logFile: join(directory, `${program}.log`),
  };
}

const HEAD = '# Written by `waygate try` at every start. Copy it to change it.\n';

function relayYaml({ zone, address, port, authority }: TryPlan): string {
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
${authority === undefined ? '' : authorityYaml(authority)}`;
}

function authorityYaml({ directory, private: known }: TryAuthority): string {
  return `certificates:
  authorities:
    - name: acme
      directory: ${text(directory)}
${known === undefined ? '' : `      caFile: ${text(known.caFile)}\n`}`;
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
    # Where the relay looks whether a challenge is served. The world asks port 53.
    port: ${dnsPort}
ops:
  host: 127.0.0.1
  port: 0
`;
}

function deviceYaml(
  { zone, address, port, workspaces }: TryPlan,
  vendorKey: string,
  ca: string | undefined,
): string {
  const entries = workspaces.map(
    ({ name, target }) => `  - name: ${text(name)}\n    target: ${text(target)}\n`,
  );
  return `${HEAD}
relay:
  url: ${text(`wss://tunnel.${zone}:${port}/`)}
  # Only a relay that proves to hold this key is believed.
  vendorKey: ${text(vendorKey)}
${ca === undefined ? '' : `  ca: ${text(ca)}\n`}  # No resolver knows a vendor that exists on this machine alone.
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
