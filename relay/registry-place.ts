// Where the registry of a relay is: a file in its state directory, or the PostgreSQL server whose URL
// stands in a file. Everybody who opens the registry asks here, so that all open the same one.
import { type RelayConfig, relayFiles } from './config.ts';
import type { DatabasePlace } from './registry/database.ts';
import { readSecretFile } from './secret-file.ts';

export async function registryPlace(
  config: Pick<RelayConfig, 'state' | 'registry'>,
): Promise<DatabasePlace> {
  const { postgresUrlFile } = config.registry;
  if (postgresUrlFile === undefined) return { kind: 'sqlite', file: relayFiles(config).registry };
  const url = await readSecretFile(postgresUrlFile, "the URL of the registry's database");
  return { kind: 'postgres', url };
}
