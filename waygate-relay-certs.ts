// `waygate relay certs` and what goes with it, and the keys that seal private keys, on the command line.
import { type Command, Option } from 'commander';
import { assertYes, type ConfigFlags, count, verb } from './waygate-command.ts';

interface ListFlags extends ConfigFlags {
  readonly limit?: number;
}

export function addCertificates(relay: Command): void {
  verb(relay, 'certs [name]', 'list certificates: until when, when the next comes, what failed')
    .option('--limit <count>', 'at most so many', count(1, 999_999_999))
    .action(async (name: string | undefined, { config, json, limit }: ListFlags) => {
      const { listCertificates } = await import('./relay-certificates.ts');
      await listCertificates(config, { name, limit, json: json === true });
    });
  verb(
    relay,
    'renew-cert <name>',
    'order a certificate anew, now; the relay may be running',
  ).action(async (name: string, { config, json }: ConfigFlags) => {
    const { renewCertificate } = await import('./relay-certificates.ts');
    await renewCertificate(config, name, json === true);
  });
  addEnvelopeKeys(relay);
}

interface RotationFlags extends ConfigFlags {
  readonly shared?: boolean;
  readonly addOnly?: boolean;
  readonly useLast?: boolean;
}

function addEnvelopeKeys(relay: Command): void {
  verb(
    relay,
    'rotate-envelope-key',
    'seal all private keys of certificates under a new key; the relay may be running',
  )
    .option('--shared', 'other relays are alive, and all of them see this very file')
    .addOption(
      new Option(
        '--add-only',
        'first of two steps: add the key; copy the file to all relays',
      ).conflicts(['shared', 'useLast']),
    )
    .addOption(
      new Option('--use-last', 'second step: seal under that key from now on').conflicts('shared'),
    )
    .action(async ({ config, json, shared, addOnly, useLast }: RotationFlags) => {
      const keys = await import('./relay-envelope-keys.ts');
      if (addOnly === true) await keys.addEnvelopeKey(config, json === true);
      else if (useLast === true) await keys.useEnvelopeKey(config, json === true);
      else {
        await keys.rotateEnvelopeKey(config, { shared: shared === true, json: json === true });
      }
    });
  verb(
    relay,
    'forget-sealed-keys',
    'last resort when envelope keys are lost: drop what no key opens, and order it anew',
  )
    .option('--yes', 'needed: it cannot be taken back')
    .action(async ({ config, json, yes }: ConfigFlags & { readonly yes?: boolean }) => {
      assertYes(
        yes,
        'What no key of the present file opens is dropped, also if a backup or another relay has the ' +
          'file that does; new certificates need room in the budget',
      );
      const { forgetSealedKeys } = await import('./relay-envelope-keys.ts');
      await forgetSealedKeys(config, json === true);
    });
}
