// The command line. Exit codes: 0 done, 1 failed, 2 used wrongly. What a script may rely on goes to
// stdout, everything else to stderr. Programs are loaded when they are run, so that help is fast.
import { Command, CommanderError } from 'commander';
import { failureSentence, isBug } from './failure.ts';
import release from './package.json' with { type: 'json' };
import { examples } from './waygate-command.ts';
import { addDevice } from './waygate-device.ts';
import { addDns } from './waygate-dns.ts';
import { addRelay } from './waygate-relay.ts';
import { addTry } from './waygate-try.ts';

/** Runs what the words say, and sets the exit code of this process when it is not 0. */
export async function runCommandLine(words: readonly string[]): Promise<void> {
  try {
    await commandLine().parseAsync(words, { from: 'user' });
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
  addDns(waygate);
  return waygate;
}
