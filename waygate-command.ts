// What the commands of the command line have in common: options that recur, and how they are read.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from './usage-error.ts';

export interface ProgramFlags {
  readonly config?: string;
  readonly logLevel: string;
}

export interface ConfigFlags {
  readonly config: string;
  readonly json?: boolean;
}

/** A command that runs a program, and has verbs below it; so `--config` cannot be required of it. */
export function programCommand(waygate: Command, name: string, summary: string): Command {
  return (
    waygate
      .command(name)
      .description(summary)
      .enablePositionalOptions()
      // A word that is no verb is told as such by configOf(), not as one argument too many.
      .allowExcessArguments()
      .option('--config <file>', `the configuration, such as ${name}.yaml`)
      .addOption(
        new Option('--log-level <level>', 'how much is logged')
          .choices(['fatal', 'error', 'warn', 'info', 'debug', 'trace'])
          .default('info'),
      )
  );
}

/**
 * A verb of a program: it works on the program's files, and prints. `words`: its name and arguments;
 * `group`: where it stands, when that is not the program itself.
 */
export function verb(program: Command, words: string, summary: string, group = program): Command {
  return group
    .command(words)
    .description(summary)
    .allowExcessArguments(false)
    .requiredOption('--config <file>', `the ${program.name()}'s configuration`)
    .option('--json', 'print JSON');
}

export function configOf({ config }: ProgramFlags, command: Command): string {
  const [word] = command.args;
  if (word !== undefined) command.error(`error: unknown command '${word}'`);
  return config ?? command.error("error: required option '--config <file>' not specified");
}

export function examples(command: Command, lines: readonly string[]): void {
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/** For an option that may be repeated. */
export function collect(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, text];
}

export function port(text: string): number {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}

/** A whole number within bounds. */
export function count(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** For what cannot be taken back. */
export function assertYes(yes: boolean | undefined, what: string): void {
  if (yes !== true) throw new UsageError(`${what}. If that is meant, say it again with --yes.`);
}

/** As `waygate device status` shows it. */
export function recoveryId(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new UsageError('The id of a recovery has letters and digits: see "waygate device status".');
}
