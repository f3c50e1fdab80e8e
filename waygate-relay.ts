// `waygate relay` on the command line: the program, and what the vendor asks of its state.
import type { Command } from 'commander';
import { keepCompiled } from './compile-cache.ts';
import { nameOf, optionalNameOf } from './name-argument.ts';
import { keepYoungHeapSmall } from './relay/protocol/young-buffers.ts';
import type { EnrollRequest, OrderRequest, RevokeRequest } from './relay-verbs.ts';
import {
  assertYes,
  type ConfigFlags,
  configOf,
  count,
  examples,
  type ProgramFlags,
  programCommand,
  verb,
} from './waygate-command.ts';
import { addCertificates } from './waygate-relay-certs.ts';

export function addRelay(waygate: Command): void {
  const relay = programCommand(waygate, 'relay', "the vendor's side: entrance and tunnels").action(
    async (flags: ProgramFlags, command: Command) => {
      const configFile = configOf(flags, command);
      const [{ runProgram }, { relaySchema }, { startRelay }] = await Promise.all([
        import('./program.ts'),
        import('./relay/config.ts'),
        import('./relay/main.ts'),
      ]);
      keepCompiled();
      keepYoungHeapSmall();
      await runProgram({
        name: 'relay',
        configFile,
        schema: relaySchema,
        start: startRelay,
        // Beyond the drain there is only closing to do.
        stopTimeoutMs: ({ drainSeconds }) => drainSeconds * 1_000 + 5_000,
        logLevel: flags.logLevel,
      });
    },
  );
  examples(relay, [
    'waygate relay --config relay.yaml',
    'waygate relay key --config relay.yaml',
    'waygate relay order --config relay.yaml --name alice --json',
    'waygate relay enroll --config relay.yaml --name alice --device-key waygate-device:...',
    'waygate relay names --config relay.yaml --json',
  ]);
  verb(relay, 'key', "print the vendor's public key, which devices pin; made on first use").action(
    async ({ config, json }: ConfigFlags) => {
      await (await import('./relay-verbs.ts')).printVendorKey(config, json === true);
    },
  );
  addGiving(relay);
  addTaking(relay);
  addListings(relay);
  addCertificates(relay);
}

function addGiving(relay: Command): void {
  verb(relay, 'order', 'reserve a name for a future device, and print the code that binds it')
    .requiredOption('--name <name>', 'the name, such as alice')
    .option('--domain <domain>', 'an own domain that it gets too, such as app.example.org')
    .option('--serial <text>', 'only the device that says the same can use the code')
    .option('--owner <mail>', 'whose it will be: who signs in by a link to this address')
    .option('--expires-days <days>', 'how long the code can be used (a year)', count(1, 3_650))
    .option('--allow-lookalike', 'although it looks like another name')
    .action(async ({ config, json, ...request }: ConfigFlags & OrderRequest) => {
      await (await import('./relay-verbs.ts')).order(config, request, json === true);
    });
  verb(relay, 'enroll', 'give a name to a device; the relay may be running')
    .requiredOption('--name <name>', 'the name, such as alice')
    .requiredOption('--device-key <key>', 'what "waygate device key" prints on the device')
    .option('--replacing <key>', 'the key that loses the name by this, when a device got a new one')
    .action(async ({ config, json, ...request }: ConfigFlags & EnrollRequest) => {
      await (await import('./relay-verbs.ts')).enroll(config, request, json === true);
    });
  verb(relay, 'rename <new-name>', 'give a device another name; the old one leads to it a while')
    .requiredOption('--name <name>', 'the name that is changed')
    .action(async (text: string, flags: ConfigFlags & { readonly name: string }) => {
      const [name, to] = [nameOf('--name', flags.name), nameOf('NEW-NAME', text)];
      const { rename } = await import('./relay-verbs.ts');
      await rename(flags.config, { name, to }, flags.json === true);
    });
}

function addTaking(relay: Command): void {
  verb(relay, 'release <name>', 'take a name from its device; for months nobody can have it')
    .option('--yes', 'needed: the device is not reached by it any more')
    .action(async (text: string, flags: ConfigFlags & { readonly yes?: boolean }) => {
      const name = nameOf('NAME', text);
      assertYes(flags.yes, `The device ${name} is not reached any more, and nobody gets its name`);
      await (await import('./relay-verbs.ts')).release(flags.config, name, flags.json === true);
    });
  verb(relay, 'revoke', 'bar the key of a device for ever')
    .option('--name <name>', 'the device that has this name')
    .option('--device-key <key>', 'the device with this key')
    .option('--yes', 'needed: it cannot be taken back')
    .action(async (flags: ConfigFlags & RevokeRequest & { readonly yes?: boolean }) => {
      assertYes(flags.yes, 'A key that is revoked stays so');
      await (await import('./relay-verbs.ts')).revoke(flags.config, flags, flags.json === true);
    });
}

interface ListingFlags extends ConfigFlags {
  readonly name?: string;
  readonly limit?: number;
}

function addListings(relay: Command): void {
  const listing = (name: 'names' | 'owners' | 'history', summary: string): Command =>
    verb(relay, name, summary).option('--limit <count>', 'at most so many', count(1, 999_999_999));
  listing('names', 'list the names and whose they are')
    .option('--name <name>', 'this one alone')
    .action(async (flags: ListingFlags) => {
      const name = optionalNameOf('--name', flags.name);
      const { listNames } = await import('./relay-listings.ts');
      await listNames(flags.config, { name, limit: flags.limit, json: flags.json === true });
    });
  listing('owners', 'list the owners').action(async (flags: ListingFlags) => {
    const { listOwners } = await import('./relay-listings.ts');
    await listOwners(flags.config, { limit: flags.limit, json: flags.json === true });
  });
  listing('history', 'list what happened to names, the newest first')
    .option('--name <name>', 'to this one alone')
    .action(async (flags: ListingFlags) => {
      const name = optionalNameOf('--name', flags.name);
      const { listHistory } = await import('./relay-listings.ts');
      await listHistory(flags.config, { name, limit: flags.limit, json: flags.json === true });
    });
}
