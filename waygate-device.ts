// `waygate device` on the command line: the program, and what an owner asks of his device's names.
import type { Command } from 'commander';
import { keepCompiled } from './compile-cache.ts';
import { nameOf, optionalNameOf } from './name-argument.ts';
import {
  assertYes,
  type ConfigFlags,
  configOf,
  examples,
  type ProgramFlags,
  programCommand,
  recoveryId,
  verb,
} from './waygate-command.ts';
import { addDomains } from './waygate-device-domain.ts';

/** Above the 10 s that tunnels.ts gives to running answers; short enough for a package upgrade. */
const DEVICE_STOP_TIMEOUT_MS = 15_000;

export function addDevice(waygate: Command): void {
  const summary = "the home's side: publishes workspaces through a relay";
  const device = programCommand(waygate, 'device', summary).action(
    async (flags: ProgramFlags, command: Command) => {
      const configFile = configOf(flags, command);
      const [{ runProgram }, { deviceSchema }, { startDevice }] = await Promise.all([
        import('./program.ts'),
        import('./device-client/config.ts'),
        import('./device-client/main.ts'),
      ]);
      keepCompiled();
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
    'waygate device claim --config device.yaml --name alice',
    'waygate device domain add app.example.org --config device.yaml',
    'waygate device status --config device.yaml --json',
    'waygate device rename bob --config device.yaml',
  ]);
  addClaiming(device);
  addChanges(device);
  addDomains(device);
}

function addClaiming(device: Command): void {
  verb(
    device,
    'key',
    "print the device's public key, by which it is enrolled; made on first use",
  ).action(async ({ config, json }: ConfigFlags) => {
    await (await import('./device-verbs.ts')).printDeviceKey(config, json === true);
  });
  verb(device, 'claim', 'show a code for the owner to confirm, and wait until he has')
    .option('--name <name>', 'the name that is wanted; the owner may choose another')
    .action(async ({ config, json, name }: ConfigFlags & { readonly name?: string }) => {
      const wanted = optionalNameOf('--name', name);
      const { claim } = await import('./device-claim.ts');
      await claim(config, { name: wanted, json: json === true });
    });
  verb(
    device,
    'status',
    'print the names of the device, who asks for them, and whether it serves',
  ).action(async ({ config, json }: ConfigFlags) => {
    await (await import('./device-verbs.ts')).printStatus(config, json === true);
  });
}

function addChanges(device: Command): void {
  verb(device, 'rename <new-name>', 'give the device another name; the old one leads to it a while')
    .option('--name <name>', 'the name that is changed, when the device has several')
    .action(async (to: string, flags: ConfigFlags & { readonly name?: string }) => {
      const name = optionalNameOf('--name', flags.name);
      const newName = nameOf('NEW-NAME', to);
      const { rename } = await import('./device-verbs.ts');
      await rename(flags.config, newName, { name, json: flags.json === true });
    });
  verb(device, 'release <name>', 'give a name up; for months nobody can have it')
    .option('--yes', 'needed: what has links to the name stops working')
    .action(async (text: string, flags: ConfigFlags & { readonly yes?: boolean }) => {
      const name = nameOf('NAME', text);
      assertYes(flags.yes, `What leads to ${name} stops working, and nobody gets it for months`);
      const { release } = await import('./device-verbs.ts');
      await release(flags.config, name, flags.json === true);
    });
  verb(device, 'veto [recovery]', 'keep a name from going to another device').action(
    async (id: string | undefined, { config, json }: ConfigFlags) => {
      const { veto } = await import('./device-verbs.ts');
      await veto(config, id === undefined ? undefined : recoveryId(id), json === true);
    },
  );
  verb(
    device,
    'rotate-key',
    'exchange the key of the device; a running device goes on with it',
  ).action(async ({ config, json }: ConfigFlags) => {
    await (await import('./device-verbs.ts')).rotateKey(config, json === true);
  });
}
