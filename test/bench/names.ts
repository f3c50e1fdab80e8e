// Many names in a registry, written as a deed would, without their history: so a million take seconds.
import { pino } from 'pino';
import { generateKey } from '../../relay/protocol/key.ts';
import { registerRelay } from '../../relay/registry/deeds/relay-alive.ts';
import { FOLLOW_SERIAL } from '../../relay/registry/reader.ts';
import { openRegistry } from '../../relay/registry/registry.ts';

const BATCH = 2_000;

/** `name-0` and so on; each its own device, as it is in the field. */
export function benchName(at: number): string {
  return `name-${at}`;
}

export async function fillRegistry(file: string, count: number): Promise<void> {
  const log = pino({ level: 'silent' });
  const registry = await openRegistry({
    ...{ database: { kind: 'sqlite' as const, file }, log, follow: FOLLOW_SERIAL },
  });
  // One key text for all: a thumbprint is what tells devices apart.
  const { text } = generateKey('device').publicKey;
  await registry.write(async (db) => {
    for (let start = 0; start < count; start += BATCH) {
      const length = Math.min(BATCH, count - start);
      const names = Array.from({ length }, (_, at) => benchName(start + at));
      const now = Date.now();
      const devices = names.map((name) => ({
        ...{ thumbprint: thumbprintOf(name), public_key: text, epoch: 0, enrolled_at: now },
      }));
      await db.insertInto('devices').values(devices).execute();
      const rows = names.map((name) => ({
        ...{ name, state: 'held' as const, thumbprint: thumbprintOf(name), owner_id: null },
        ...{ skeleton: name, claimed_at: now, successor: null, until: null },
      }));
      await db.insertInto('names').values(rows).execute();
    }
  });
  // So that an answer has an address to tell.
  await registry.perform(registerRelay({ id: 'bench', addresses: ['127.0.0.1'] }));
  await registry.close();
}

/** As long as a real one. */
function thumbprintOf(name: string): string {
  return name.padEnd(43, '-');
}
