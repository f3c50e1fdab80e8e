// `waygate try` on the command line.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { collect, examples, port } from './waygate-command.ts';

interface TryFlags {
  readonly workspace?: readonly string[];
  readonly zone: string;
  readonly port: number;
  readonly dnsPort: number;
  readonly acme?: string;
  readonly acmeCa?: string;
  readonly dir: string;
  readonly json?: boolean;
}

export function addTry(waygate: Command): void {
  const command = waygate
    .command('try')
    .description('a whole vendor on this machine, with one device called demo')
    .option('--workspace <NAME=URL>', 'publish this; may be repeated (default: a sample)', collect)
    .option('--zone <zone>', 'the domain below which names lie', 'vendor.localhost')
    .option('--port <port>', 'HTTPS port on 127.0.0.1; 0: any free one', port, 8443)
    .option('--dns-port <port>', 'DNS port on 127.0.0.1, UDP and TCP; 0: any free one', port, 0)
    .option('--acme <directory-url>', 'have certificates signed there, not by a CA of its own')
    .option('--acme-ca <file>', 'PEM file of the CA that the ACME server itself is known by')
    .option('--dir <directory>', 'where keys, configurations and logs are kept', '.waygate')
    .option('--json', 'print one JSON line when everything serves, and one for each event')
    .action(async (options: TryFlags) => {
      const { parseTryWorkspaces, parseTryZone } = await import('./try-options.ts');
      const zone = parseTryZone(options.zone);
      const workspaces = parseTryWorkspaces(options.workspace ?? []);
      const { parseTryAuthority } = await import('./try-authority.ts');
      const authority = parseTryAuthority(options.acme, options.acmeCa && resolve(options.acmeCa));
      const { runTry } = await import('./try.ts');
      await runTry({
        zone,
        workspaces,
        authority,
        port: options.port,
        dnsPort: options.dnsPort,
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
