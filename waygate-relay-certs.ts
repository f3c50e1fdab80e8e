// `waygate relay certs` and what goes with it, on the command line.
import type { Command } from 'commander';
import { type ConfigFlags, count, verb } from './waygate-command.ts';

interface ListFlags extends ConfigFlags {
  readonly limit?: number;
}

export function addCertificates(relay: Command): void {
  verb(relay, 'certs [name]', 'list certificates: until when, when the next comes, what failed')
    .option('--limit <count>', 'at most so many', count(1, 999_999_999))
    .action(async (name: string | undefined, { config, json, limit }: ListFlags) => {
      const [{ listCertificates }, { domainOf }] = await needed();
      const subject = name === undefined ? undefined : domainOf('NAME', name);
      await listCertificates(config, { subject, limit, json: json === true });
    });
  verb(
    relay,
    'renew-cert <name>',
    'order a certificate anew, now; the relay may be running',
  ).action(async (name: string, { config, json }: ConfigFlags) => {
    const [{ renewCertificate }, { domainOf }] = await needed();
    await renewCertificate(config, domainOf('NAME', name), json === true);
  });
  verb(
    relay,
    'rotate-envelope-key',
    'seal all private keys of certificates under a new key; the relay may be running',
  ).action(async ({ config, json }: ConfigFlags) => {
    const { rotateEnvelopeKey } = await import('./relay-certificates.ts');
    await rotateEnvelopeKey(config, json === true);
  });
}

function needed() {
  return Promise.all([import('./relay-certificates.ts'), import('./name-argument.ts')]);
}
