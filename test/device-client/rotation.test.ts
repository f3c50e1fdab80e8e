import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { knownInstead, nextKeyFile } from '../../device-client/rotation.ts';
import { loadOrCreateKey, replaceKeyFile } from '../../relay/protocol/key.ts';

const ROUNDS = 400;

/** Both files were read before the new key was put in place: then the relay is asked. */
class Asked extends Error {}

it('bug: a device whose key is replaced while it looks for the new one finds it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-rotation-'));
  const file = join(folder, 'device.key');
  const old = await loadOrCreateKey(join(folder, 'old'), 'device');
  const next = await loadOrCreateKey(join(folder, 'new'), 'device');
  const [oldPem, newPem] = await Promise.all(
    ['old', 'new'].map((name) => readFile(join(folder, name))),
  );
  const rotation = {
    file,
    apiOf: (): never => {
      throw new Asked();
    },
  };
  const put = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await nextTurn();
    await replaceKeyFile(nextKeyFile(file), file);
  };
  const found = new Set<string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    writeFileSync(file, oldPem ?? '', { mode: 0o600 });
    writeFileSync(nextKeyFile(file), newPem ?? '', { mode: 0o600 });
    const look = knownInstead(rotation, old.publicKey.thumbprint).then(
      (key) => key?.publicKey.thumbprint ?? 'nothing',
      (error: unknown) => (error instanceof Asked ? 'asked' : String(error)),
    );
    const [outcome] = await Promise.all([look, put(round % 20)]);
    found.add(outcome);
  }
  expect(found).toContain(next.publicKey.thumbprint);
  expect(found).not.toContain('nothing');
  rmSync(folder, { recursive: true });
});
