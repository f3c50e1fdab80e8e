// `waygate dns` on the command line.
import type { Command } from 'commander';
import { keepCompiled } from './compile-cache.ts';
import { configOf, examples, type ProgramFlags, programCommand } from './waygate-command.ts';

export function addDns(waygate: Command): void {
  const summary = "the vendor's zone: answers for names, and feeds public name servers";
  const dns = programCommand(waygate, 'dns', summary).action(
    async (flags: ProgramFlags, command: Command) => {
      const configFile = configOf(flags, command);
      const [{ runProgram }, { dnsSchema }, { DNS_STOP_TIMEOUT_MS, startDns }] = await Promise.all([
        import('./program.ts'),
        import('./dns/config.ts'),
        import('./dns-program.ts'),
      ]);
      keepCompiled();
      await runProgram({
        name: 'dns',
        configFile,
        schema: dnsSchema,
        start: startDns,
        stopTimeoutMs: () => DNS_STOP_TIMEOUT_MS,
        logLevel: flags.logLevel,
      });
    },
  );
  examples(dns, ['waygate dns --config dns.yaml']);
}
