// What the vendor asks of the keys that seal private keys in the registry (certs/envelope.ts): another
// one, in one step or in two where several relays have a copy of the file each; and, when they are lost,
// that everything is dropped which was sealed under them. A relay that runs follows by itself.
import { Envelope } from './certs/envelope.ts';
import { print, printJson } from './printing.ts';
import { type RelayConfig, relayFiles } from './relay/config.ts';
import { forgetSealed } from './relay/registry/certificates/forget-sealed.ts';
import { type Resealed, resealAll } from './relay/registry/certificates/reseal.ts';
import { aliveBeside } from './relay/registry/deeds/relay-alive.ts';
import { LOCAL } from './relay-certificates.ts';
import { type RegistryAtHand, withRegistry } from './relay-registry.ts';
import { UsageError } from './usage-error.ts';

export interface RotationFlags {
  /** All relays see this very file. */
  readonly shared: boolean;
  readonly json: boolean;
}

/** Broken off, it is run again; what is left of the old key then goes with the next one. */
export async function rotateEnvelopeKey(
  configFile: string,
  { shared, json }: RotationFlags,
): Promise<void> {
  const { file, ...done } = await withRegistry(configFile, async (atHand) => {
    const file = envelopeFile(atHand.config);
    if (!shared) await assertAlone(atHand, file);
    const envelope = await Envelope.addKey(file);
    return { file, ...(await resealed(atHand, envelope)) };
  });
  await tell(done, 'rotated', json);
  process.stderr.write(`Back ${file} up; older lines are needed as long as there are backups.\n`);
}

/** The first of two steps. Said twice, it adds one key. */
export async function addEnvelopeKey(configFile: string, json: boolean): Promise<void> {
  const { file, added } = await withRegistry(configFile, async ({ config }) => {
    const file = envelopeFile(config);
    return { file, added: await Envelope.addWaitingKey(file) };
  });
  if (json) await printJson({ outcome: added ? 'added' : 'waits already', file });
  else await print(added ? 'a new key waits in the file' : 'a new key waits in the file already');
  process.stderr.write(
    `Copy ${file} to all other relays of this registry. When each has it, say on one of them: ` +
      'waygate relay rotate-envelope-key --use-last\n',
  );
}

/** The second step. Broken off, it is run again and does what is left. */
export async function useEnvelopeKey(configFile: string, json: boolean): Promise<void> {
  const { file, used, ...done } = await withRegistry(configFile, async (atHand) => {
    const file = envelopeFile(atHand.config);
    const used = await Envelope.useWaitingKey(file);
    return { file, used, ...(await resealed(atHand, Envelope.existing(file))) };
  });
  await tell(done, used ? 'used' : 'none waited', json);
  process.stderr.write(
    used
      ? `Copy ${file} to the other relays of this registry, whenever you like: they open everything with ` +
          'theirs. Back it up; older lines are needed as long as there are backups.\n'
      : `No key waits in ${file}, so the one that sealed goes on. To add one: ` +
          'waygate relay rotate-envelope-key --add-only\n',
  );
}

export async function forgetSealedKeys(configFile: string, json: boolean): Promise<void> {
  const done = await withRegistry(configFile, ({ config, registry }) => {
    // It is not made here: root may run this, and the relay must read it.
    const envelope = Envelope.existing(envelopeFile(config));
    const { authorities } = config.certificates;
    return forgetSealed((work) => registry.write(work), { envelope, authorities });
  });
  const { accounts, orders, certificates } = done;
  if (json) await printJson(done);
  else {
    await print(
      `dropped: accounts ${accounts}, orders under way ${orders}, certificate keys ${certificates}`,
    );
  }
  if (certificates + orders > 0) {
    process.stderr.write('What is missing is ordered now, within budgets: waygate relay certs\n');
  }
  if (accounts > 0) {
    process.stderr.write(
      'Relays that run make a new account. If "caa" in dns.yaml names the old one, authorities refuse ' +
        'until it names the new one or none; an external account may need new credentials.\n',
    );
  }
}

function envelopeFile(config: RelayConfig): string {
  const { authorities, envelopeKeyFile } = config.certificates;
  if (authorities.length === 0) throw new UsageError(`There are no keys to seal. ${LOCAL.trim()}`);
  return envelopeKeyFile ?? relayFiles(config).envelopeKey;
}

async function assertAlone({ registry, config }: RegistryAtHand, file: string): Promise<void> {
  // The relays of a registry in a file are one, whatever it was called before.
  if (config.registry.postgresUrlFile === undefined) return;
  const others = await registry.read(aliveBeside(config.id));
  if (others.length === 0) return;
  throw new UsageError(
    `Other relays are alive (${others.join(', ')}), which would open nothing that is sealed under a new ` +
      'key. Nothing was changed. Do it in two steps: waygate relay rotate-envelope-key --add-only, and ' +
      `copy ${file} to each of them; then the same with --use-last, and copy it again, whenever you ` +
      'like. If all of them see this very file, say --shared.',
  );
}

function resealed({ registry }: RegistryAtHand, envelope: Envelope): Promise<Resealed> {
  return resealAll((work) => registry.write(work), envelope);
}

async function tell({ resealed, lost }: Resealed, outcome: string, json: boolean): Promise<void> {
  for (const about of lost) process.stderr.write(`${about}: cannot be opened by any key\n`);
  if (json) await printJson({ outcome, resealed, lost });
  else await print(`${resealed} keys were put under the key that seals now`);
  if (lost.length === 0) return;
  process.stderr.write(
    'Put the lines back that they were sealed under. If those are lost: waygate relay ' +
      'forget-sealed-keys --yes drops them; relays make and order them anew.\n',
  );
  process.exitCode = 1;
}
