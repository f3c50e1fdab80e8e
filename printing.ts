// What a verb prints on stdout: lines, or JSON. Lists of any length go out piece by piece, as fast as
// the reader takes them; a reader who has seen enough (`| head`) ends the verb without a word.
import { once } from 'node:events';

export async function print(line: string): Promise<void> {
  endWithReader();
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

export function printJson(value: unknown): Promise<void> {
  return print(JSON.stringify(value));
}

/** A JSON array with one item per line. */
export async function printJsonList(items: AsyncIterable<unknown>): Promise<void> {
  let opening = '[';
  for await (const item of items) {
    await print(`${opening}${JSON.stringify(item)}`);
    opening = ',';
  }
  await print(opening === '[' ? '[]' : ']');
}

let watched = false;

function endWithReader(): void {
  if (watched) return;
  watched = true;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
}
