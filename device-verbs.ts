// The device's verbs: what a person asks of a device's files without running it.
import { readConfig } from './config-file.ts';
import { deviceSchema } from './device-client/config.ts';
import { loadOrCreateKey } from './relay/protocol/key.ts';

export async function printDeviceKey(configFile: string, json: boolean): Promise<void> {
  const config = readConfig(configFile, deviceSchema);
  const { publicKey } = await loadOrCreateKey(config.key, 'device');
  process.stdout.write(
    `${json ? JSON.stringify({ deviceKey: publicKey.text }) : publicKey.text}\n`,
  );
}
