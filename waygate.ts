#!/usr/bin/env node
// The command line. Exit codes: 0 done, 1 failed, 2 used wrongly. What a script may rely on goes to
// stdout, everything else to stderr. Programs are loaded when they are run, so that help is fast.
import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { failureSentence, isBug } from './failure.ts';
import release from './package.json' with { type: 'json' };
import { keepYoungHeapSmall } from './relay/protocol/young-buffers.ts';
import type { EnrollRequest } from './relay-verbs.ts';

/** Above the 10 s that tunnels.ts gives to running answers; short enough for a package upgrade. */
const DEVICE_STOP_TIMEOUT_MS = 15_000;

// Whatever the commands use must stand above: nothing below has run yet.
await main();

async function main(): Promise<void> {
  try {
    await commandLine().parseAsync();
  } catch (error) {
    process.exitCode = exitCode(error);
    // Commander has told its own already.
    if (error instanceof CommanderError) return;
    const sentence = isBug(error) && error instanceof Error ? error.stack : failureSentence(error);
    process.stderr.write(`${sentence}\n`);
  }
}

function exitCode(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ERR_USAGE' || code === 'ERR_CONFIG' ? 2 : 1;
}

function commandLine(): Command {
  const waygate = new Command('waygate')
    .description('Names for devices at home that work from everywhere.')
    .version(release.version)
    .enablePositionalOptions()
    .showHelpAfterError('Run it with --help to see how it is used.')
    .exitOverride();
  examples(waygate, ['waygate try', 'waygate relay --config relay.yaml']);
  addTry(waygate);
  addRelay(waygate);
  addDevice(waygate);
  return waygate;
}

function addTry(waygate: Command): void {
  const command = waygate
    .command('try')
    .description('a whole vendor on this machine, with one device called demo')
    .option('--workspace <NAME=URL>', 'publish this; may be repeated (default: a sample)', collect)
    .option('--zone <zone>', 'the domain below which names lie', 'vendor.localhost')
    .option('--port <port>', 'HTTPS port on 127.0.0.1; 0: any free one', port, 8443)
    .option('--dir <directory>', 'where keys, configurations and logs are kept', '.waygate')
    .option('--json', 'print one JSON line when everything serves')
    .action(async (options: TryFlags) => {
      const { parseTryWorkspaces, parseTryZone } = await import('./try-options.ts');
      const zone = parseTryZone(options.zone);
      const workspaces = parseTryWorkspaces(options.workspace ?? []);
      const { runTry } = await import('./try.ts');
      await runTry({
        zone,
        workspaces,
        port: options.port,
        directory: resolve(options.dir),
        json: options.json === true,
      });
      process.exit(0);
    });
  examples(command, [
    'waygate try',
    'waygate try --workspace code=http://127.0.0.1:8080 --workspace notes=unix:/run/notes.sock',
    'waygate try --port 0 --json',
  ]);
}

interface TryFlags {
  readonly workspace?: readonly string[];
  readonly zone: string;
  readonly port: number;
  readonly dir: string;
  readonly json?: boolean;
}

function addRelay(waygate: Command): void {
  const relay = programCommand(waygate, 'relay', "the vendor's side: entrance and tunnels").action(
    async (flags: ProgramFlags, command: Command) => {
      const configFile = configOf(flags, command);
      keepYoungHeapSmall();
      const [{ runProgram }, { relaySchema }, { startRelay }] = await Promise.all([
        import('./program.ts'),
        import('./relay/config.ts'),
        import('./relay/main.ts'),
      ]);
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
    'waygate relay enroll --config relay.yaml --name alice --device-key waygate-device:...',
    'waygate relay names --config relay.yaml --json',
  ]);
  verb(relay, 'enroll', 'give a name to a device; the relay may be running')
    .requiredOption('--name <name>', 'the name, such as alice')
    .requiredOption('--device-key <key>', 'what "waygate device key" prints on the device')
    .option('--replacing <key>', 'the key that loses the name by this, when a device got a new one')
    .option('--json', 'print JSON')
    .action(async ({ config, json, ...request }: ConfigFlags & EnrollRequest) => {
      await (await import('./relay-verbs.ts')).enroll(config, request, json === true);
    });
  verb(relay, 'names', 'list the names and whose they are')
    .option('--json', 'print JSON')
    .action(async ({ config, json }: ConfigFlags) => {
      await (await import('./relay-verbs.ts')).listNames(config, json === true);
    });
  verb(relay, 'key', "print the vendor's public key, which devices pin; made on first use")
    .option('--json', 'print JSON')
    .action(async ({ config, json }: ConfigFlags) => {
      await (await import('./relay-verbs.ts')).printVendorKey(config, json === true);
    });
}

function addDevice(waygate: Command): void {
  const summary = "the home's side: publishes workspaces through a relay";
  const device = programCommand(waygate, 'device', summary).action(
    async (flags: ProgramFlags, command: Command) => {
      const configFile = configOf(flags, command);
      const [{ runProgram }, { deviceSchema }, { startDevice }] = await Promise.all([
        import('./program.ts'),
        import('./device-client/config.ts'),
        import('./device-client/main.ts'),
      ]);
      await runProgram({
        name: 'device',
        configFile,
        schema: deviceSchema,
        start: startDevice,
        stopTimeoutMs: () => DEVICE_STOP_TIMEOUT_MS,
        logLevel: flags.logLevel,
      });
    },
  );
  examples(device, [
    'waygate device --config device.yaml',
    'waygate device key --config device.yaml',
  ]);
  verb(device, 'key', "print the device's public key, by which it is enrolled; made on first use")
    .option('--json', 'print JSON')
    .action(async ({ config, json }: ConfigFlags) => {
      await (await import('./device-verbs.ts')).printDeviceKey(config, json === true);
    });
}

interface ProgramFlags {
  readonly config?: string;
  readonly logLevel: string;
}

interface ConfigFlags {
  readonly config: string;
  readonly json?: boolean;
}

/** A command that runs a program, and has verbs below it; so `--config` cannot be required of it. */
function programCommand(waygate: Command, name: string, summary: string): Command {
  return waygate
    .command(name)
    .description(summary)
    .enablePositionalOptions()
    .option('--config <file>', `the configuration, such as ${name}.yaml`)
    .addOption(
      new Option('--log-level <level>', 'how much is logged')
        .choices(['fatal', 'error', 'warn', 'info', 'debug', 'trace'])
        .default('info'),
    );
}

function verb(program: Command, name: string, summary: string): Command {
  return program
    .command(name)
    .description(summary)
    .requiredOption('--config <file>', `the ${program.name()}'s configuration`);
}

function configOf({ config }: ProgramFlags, command: Command): string {
  return config ?? command.error("error: required option '--config <file>' not specified");
}

function examples(command: Command, lines: readonly string[]): void {
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

function collect(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, text];
}

function port(text: string): number {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}
