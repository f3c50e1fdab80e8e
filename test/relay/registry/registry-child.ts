// Another process at the registry. `race FILE KEYS...`: enrols one name for each key at once.
// `flood FILE PREFIX`: enrols one name after the other for ever, and says each that was acknowledged.
import { pino } from 'pino';
import { parseDeviceName } from '../../../dns/name.ts';
import { generateKey, parsePublicKey } from '../../../relay/protocol/key.ts';
import { openRegistry } from '../../../relay/registry/registry.ts';
import { RegistryError } from '../../../relay/registry/registry-error.ts';

const [, , mode, file = '', ...rest] = process.argv;
const registry = await openRegistry({ file, log: pino({ level: 'silent' }) });

if (mode === 'race') {
  const name = parseDeviceName('alice');
  if (name === undefined) throw new Error('alice is no name');
  const outcomes = await Promise.all(
    rest.map(async (text) => {
      const deviceKey = parsePublicKey(text, 'device');
      if (deviceKey === undefined) throw new Error('no key');
      return registry.enroll({ name, deviceKey, actor: 'test' }).then(
        (outcome) => `${deviceKey.thumbprint} ${outcome}`,
        (error: unknown) => (error instanceof RegistryError ? error.code : String(error)),
      );
    }),
  );
  process.stdout.write(outcomes.join('\n'));
  await registry.close();
} else {
  const deviceKey = generateKey('device').publicKey;
  for (let at = 0; ; at += 1) {
    const name = parseDeviceName(`${rest[0]}-${at}`);
    if (name === undefined) throw new Error('not a name');
    await registry.enroll({ name, deviceKey, actor: 'test' });
    process.stdout.write(`${name}\n`);
  }
}
