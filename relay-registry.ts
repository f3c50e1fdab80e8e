// The registry of a relay for the length of one verb, whether the relay runs or not.
import { userInfo } from 'node:os';
import { readConfig } from './config-file.ts';
import { openLog } from './log.ts';
import { type RelayConfig, relaySchema } from './relay/config.ts';
import type { By } from './relay/registry/actor.ts';
import type { NamePolicy } from './relay/registry/policy.ts';
import { openRegistry, type Registry } from './relay/registry/registry.ts';
import { registryPlace } from './relay/registry-place.ts';

export interface RegistryAtHand {
  readonly registry: Registry;
  readonly config: RelayConfig;
  /** Who does it, for the history. */
  readonly by: Extract<By, { kind: 'operator' }>;
}

export async function withRegistry<Value>(
  configFile: string,
  work: (atHand: RegistryAtHand) => Promise<Value>,
  policy: Partial<NamePolicy> = {},
): Promise<Value> {
  const config = readConfig(configFile, relaySchema);
  const database = await registryPlace(config);
  const { log } = await openLog('relay', 'warn');
  const registry = await openRegistry({ database, log, policy: { ...config.names, ...policy } });
  try {
    const by = { kind: 'operator', user: userInfo().username } as const;
    return await work({ registry, config, by });
  } finally {
    await registry.close();
  }
}
