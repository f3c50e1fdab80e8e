// Verbs of the command line one after the other in one process, for tests of what a verb does and says and
// not of the process that it is: a process each would mostly load the same files again. After each verb,
// both streams get a line with its exit code. It ends with the process that started it.
import { startCompileCache } from '../../compile-cache.ts';

startCompileCache();
const { runCommandLine } = await import('../../waygate-root.ts');

process.on('disconnect', () => process.exit(0));
process.on('message', (words: readonly string[]) => void run(words));

async function run(words: readonly string[]): Promise<void> {
  process.exitCode = undefined;
  await runCommandLine(words);
  const line = `\0${process.exitCode ?? 0}\n`;
  process.stdout.write(line);
  process.stderr.write(line);
}
