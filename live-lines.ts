// Lines on a terminal that are drawn anew in their place when they change. Where there is no terminal,
// nothing is drawn: who uses this prints line by line instead.
import type { WriteStream } from 'node:tty';

export class LiveLines {
  readonly #terminal: Pick<WriteStream, 'columns' | 'rows' | 'write'>;
  #drawn: readonly string[] = [];

  constructor(terminal: Pick<WriteStream, 'columns' | 'rows' | 'write'>) {
    this.#terminal = terminal;
  }

  /** How wide a line may be. */
  get columns(): number {
    return Math.max(this.#terminal.columns, 1);
  }

  draw(lines: readonly string[]): void {
    if (lines.join('\n') === this.#drawn.join('\n')) return;
    const height = this.#height();
    // What has left the screen at the top cannot be reached any more.
    const reachable = height > 0 && height < this.#terminal.rows;
    const back = reachable ? `\x1b[${height}A\r\x1b[J` : '';
    this.#terminal.write(`${back}${lines.join('\n')}\n`);
    this.#drawn = lines;
  }

  /** What is drawn stays; the next drawing begins below it. */
  leave(): void {
    this.#drawn = [];
  }

  /** Rows that the drawing takes, by the width that the terminal has now. */
  #height(): number {
    return this.#drawn.reduce((rows, line) => rows + Math.ceil(line.length / this.columns || 1), 0);
  }
}
