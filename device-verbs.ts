// The device's verbs: what an owner asks of his device's names, whether the device runs or not. All but
// `key` ask the relay, signed by the device's key.
import { readConfig } from './config-file.ts';
import { DeviceApi } from './device-client/api.ts';
import { type CertificateEntry, readCertificates } from './device-client/certificate-status.ts';
import { type DeviceConfig, deviceSchema } from './device-client/config.ts';
import { relayAddress } from './device-client/relay-address.ts';
import { rotate } from './device-client/rotation.ts';
import {
  askStanding,
  type OwnName,
  releaseName,
  renameDevice,
  type Standing,
  vetoRecovery,
} from './device-client/standing.ts';
import { type DeviceName, parseDeviceName } from './dns/name.ts';
import { print, printJson } from './printing.ts';
import { loadOrCreateKey, type PublicKey, type SigningKey } from './relay/protocol/key.ts';
import { SOFTWARE } from './relay/protocol/software.ts';
import { UsageError } from './usage-error.ts';

/** A device's configuration, and requests in its name. */
export interface DeviceAtHand {
  readonly config: DeviceConfig;
  readonly publicKey: PublicKey;
  readonly api: DeviceApi;
}

export async function deviceAtHand(configFile: string): Promise<DeviceAtHand> {
  const config = readConfig(configFile, deviceSchema);
  const relay = await relayAddress(config);
  const deviceKey = await loadOrCreateKey(config.key, 'device');
  const api = new DeviceApi({ relay, deviceKey, software: SOFTWARE });
  return { config, publicKey: deviceKey.publicKey, api };
}

export async function printDeviceKey(configFile: string, json: boolean): Promise<void> {
  const config = readConfig(configFile, deviceSchema);
  const { publicKey } = await loadOrCreateKey(config.key, 'device');
  if (json) await printJson({ deviceKey: publicKey.text });
  else await print(publicKey.text);
}

export async function printStatus(configFile: string, json: boolean): Promise<void> {
  const { config, publicKey, api } = await deviceAtHand(configFile);
  const [standing, program, certificates] = await Promise.all([
    askStanding(api),
    askProgram(config),
    readCertificates(config.certificates),
  ]);
  const { text: deviceKey, thumbprint } = publicKey;
  if (json) return printJson({ deviceKey, thumbprint, ...standing, program, certificates });
  await print(`device   ${deviceKey}`);
  await print(`key      ${thumbprint}, as the portal shows it`);
  await print(`program  ${program.detail}`);
  if (standing.names.length === 0) await print(NO_NAMES);
  for (const name of standing.names) await print(`name     ${nameLine(name)}`);
  for (const each of certificates) await printCertificate(each);
  for (const { id, name, dueAt, waitsForMail } of standing.recoveries) {
    const when = waitsForMail ? 'not before' : 'at';
    await print(
      `warning  another device gets the name ${name} ${when} ${dueAt}, and this one loses it.`,
    );
    if (waitsForMail) await print(`         ${WAITS_FOR_MAIL}`);
    await print(`         To keep it: waygate device veto ${id} --config ${configFile}`);
  }
}

async function printCertificate(entry: CertificateEntry): Promise<void> {
  const { name, ends, renewAt, problem, problemAt } = entry;
  const how = ends === undefined ? 'none yet' : `until ${ends}, renewed from ${renewAt} on`;
  await print(`cert     ${name}: ${how}`);
  if (problem !== undefined)
    await print(`         The last attempt, at ${problemAt}, failed: ${problem}`);
}

/** Names the device has, when it is not said which one is meant. */
export async function rename(
  configFile: string,
  to: DeviceName,
  { name, json }: { readonly name: DeviceName | undefined; readonly json: boolean },
): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  const former = name ?? onlyName(await askStanding(api));
  const formerUntil = await renameDevice(api, former, to);
  if (json) await printJson({ name: to, former, formerUntil });
  else
    await print(`${to}: the name of this device now; ${former} leads to it until ${formerUntil}`);
}

export async function release(configFile: string, name: DeviceName, json: boolean): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  await releaseName(api, name);
  if (json) await printJson({ name, outcome: 'released' });
  else await print(`${name}: released`);
}

export async function veto(
  configFile: string,
  id: string | undefined,
  json: boolean,
): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  const recovery = id ?? onlyRecovery(await askStanding(api));
  await vetoRecovery(api, recovery);
  if (json) await printJson({ id: recovery, outcome: 'vetoed' });
  else await print(`${recovery}: vetoed; this device keeps its name`);
}

export async function rotateKey(configFile: string, json: boolean): Promise<void> {
  const config = readConfig(configFile, deviceSchema);
  const relay = await relayAddress(config);
  const apiOf = (deviceKey: SigningKey) => new DeviceApi({ relay, deviceKey, software: SOFTWARE });
  const { publicKey } = await rotate({ file: config.key, apiOf });
  if (json) await printJson({ deviceKey: publicKey.text });
  else await print(`${publicKey.text}: the key of this device now; the old one is barred`);
}

/** The name that is meant when none is given. */
export function onlyName({ names }: Standing): DeviceName {
  const held = names.filter(({ state }) => state === 'held').map(({ name }) => name);
  const only = held.length === 1 ? parseDeviceName(held[0] ?? '') : undefined;
  if (only !== undefined) return only;
  if (held.length === 0) throw new UsageError(NO_NAMES);
  throw new UsageError(
    `This device has several names (${held.join(', ')}). Say which: --name NAME.`,
  );
}

function onlyRecovery({ recoveries }: Standing): string {
  const [first] = recoveries;
  if (first !== undefined && recoveries.length === 1) return first.id;
  if (first === undefined) {
    throw new UsageError('No other device waits for a name of this one: there is nothing to veto.');
  }
  const ids = recoveries.map(({ id, name }) => `${id} (${name})`).join(', ');
  throw new UsageError(`Several recoveries wait: ${ids}. Say which: waygate device veto ID.`);
}

const WAITS_FOR_MAIL = 'The time begins when the mail server has taken the letter to the owner.';

const NO_NAMES = 'This device has no name. Claim one: waygate device claim --config FILE';

function nameLine({ name, state, until, successor }: OwnName): string {
  return state === 'held' ? name : `${name}, which leads to ${successor} until ${until}`;
}

/** The program answers on this machine at once, or not at all. */
const PROGRAM_TIMEOUT_MS = 2_000;

interface ProgramState {
  readonly state: 'serving' | 'waiting' | 'not-running' | 'unknown';
  readonly detail: string;
}

/** Whether the device's program runs here, as its operators' port tells. */
async function askProgram({ ops }: DeviceConfig): Promise<ProgramState> {
  if (ops.port === 0) {
    return {
      state: 'unknown',
      detail: 'unknown: its port is chosen anew at each start (ops.port)',
    };
  }
  const host = ops.host.includes(':') ? `[${ops.host}]` : ops.host;
  try {
    const signal = AbortSignal.timeout(PROGRAM_TIMEOUT_MS);
    const answer = await fetch(`http://${host}:${ops.port}/readyz`, { signal });
    const words = (await answer.text()).trim();
    if (answer.ok) return { state: 'serving', detail: 'serving: a tunnel is up' };
    return { state: 'waiting', detail: `not serving: ${words}` };
  } catch {
    return { state: 'not-running', detail: 'not running' };
  }
}
