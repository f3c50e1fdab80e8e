// `waygate device domain` on the command line: own domains of a device's names.
import type { Command } from 'commander';
import { domainOf, optionalNameOf, optionalWorkspaceOf } from './name-argument.ts';
import { assertYes, type ConfigFlags, count, examples, verb } from './waygate-command.ts';

const ADD_LIMITS = {
  /** Entries that a provider takes over at once are seen within minutes. */
  timeoutSeconds: 1_800,
  /** Whoever wants to wait for longer asks again tomorrow. */
  timeoutSecondsMax: 86_400,
} as const;

interface AddFlags extends ConfigFlags {
  readonly name?: string;
  readonly workspace?: string;
  readonly wildcard?: boolean;
  readonly wait: boolean;
  readonly timeout: number;
}

interface ChosenFlags extends ConfigFlags {
  readonly name?: string;
}

const WHICH = 'of which name, when several names of the device have the domain';

function chosenOf(text: string, { name }: ChosenFlags) {
  return { domain: domainOf('DOMAIN', text), name: optionalNameOf('--name', name) };
}

export function addDomains(device: Command): void {
  const domain = device
    .command('domain')
    .description('domains of your own that lead to the device')
    .enablePositionalOptions();
  addAdding(device, domain);
  verb(device, 'list', 'print the domains of the device, and how far each is', domain).action(
    async ({ config, json }: ConfigFlags) => {
      await (await import('./device-domains.ts')).list(config, json === true);
    },
  );
  verb(
    device,
    'check <domain>',
    'look at a domain now, and print what was found; fails when it is not live',
    domain,
  )
    .option('--name <name>', WHICH)
    .action(async (text: string, flags: ChosenFlags) => {
      const chosen = chosenOf(text, flags);
      await (await import('./device-domains.ts')).check(flags.config, chosen, flags.json === true);
    });
  verb(device, 'remove <domain>', 'take a domain away from the device', domain)
    .option('--name <name>', WHICH)
    .option('--yes', 'needed: the domain stops working')
    .action(async (text: string, flags: ChosenFlags & { readonly yes?: boolean }) => {
      const chosen = chosenOf(text, flags);
      assertYes(flags.yes, `${chosen.domain} stops working at once`);
      const { remove } = await import('./device-domains.ts');
      await remove(flags.config, chosen, flags.json === true);
    });
  examples(domain, [
    'waygate device domain add app.example.org --workspace code --config device.yaml',
    'waygate device domain add example.org --wildcard --config device.yaml',
    'waygate device domain check app.example.org --config device.yaml',
  ]);
}

function addAdding(device: Command, domain: Command): void {
  const summary =
    'let a domain lead to the device: what to enter at the DNS provider, and progress';
  const { timeoutSeconds, timeoutSecondsMax } = ADD_LIMITS;
  verb(device, 'add <domain>', summary, domain)
    .option('--workspace <name>', 'where it leads; without it to the device')
    .option('--wildcard', 'with every name one label below the domain')
    .option('--name <name>', 'which name of the device, when it has several')
    .option('--no-wait', 'only print what to enter')
    .option(
      '--timeout <seconds>',
      'how long progress is shown',
      count(1, timeoutSecondsMax),
      timeoutSeconds,
    )
    .action(async (text: string, flags: AddFlags) => {
      const added = domainOf('DOMAIN', text);
      const name = optionalNameOf('--name', flags.name);
      const workspace = optionalWorkspaceOf('--workspace', flags.workspace);
      const { add } = await import('./device-domains.ts');
      await add(flags.config, added, {
        ...{ name, workspace, wildcard: flags.wildcard === true, wait: flags.wait },
        timeoutMs: flags.timeout * 1_000,
        json: flags.json === true,
      });
    });
}
