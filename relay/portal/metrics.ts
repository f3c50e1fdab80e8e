// What the relay tells Prometheus of letters to owners. What waits is the same at every relay of a
// registry; what became of attempts is the relay's own.
import { Counter, type Registry as MetricsRegistry } from 'prom-client';
import { gaugesOf } from '../protocol/metrics.ts';
import { countLetters, type LetterCount } from '../registry/letters.ts';
import type { Registry } from '../registry/registry.ts';
import type { Post } from './post.ts';

export function exposeLetters(parts: {
  readonly post: Pick<Post, 'outcomes'>;
  readonly registry: Pick<Registry, 'read'>;
  readonly clockMs: () => number;
  readonly registers: MetricsRegistry[];
}): void {
  const { post, registry, clockMs, registers } = parts;
  // While the registry cannot be read, its fault is told by a figure of its own.
  const count = (): Promise<LetterCount | undefined> =>
    registry.read(countLetters()).catch(() => undefined);
  const gauge = gaugesOf(registers);
  const waiting = async () => (await count())?.waiting;
  gauge('waygate_letters_waiting', 'Letters to owners that are not sent yet.', waiting);
  const age = async (): Promise<number | undefined> => {
    const found = await count();
    if (found === undefined) return undefined;
    return found.oldestMs === undefined ? 0 : Math.max(0, clockMs() - found.oldestMs) / 1_000;
  };
  gauge('waygate_letters_oldest_seconds', 'How long the oldest has waited; 0: there is none.', age);
  new Counter({
    name: 'waygate_letter_attempts_total',
    help: 'Attempts of this relay to send a letter since its start, by how they ended.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      for (const [outcome, attempts] of post.outcomes) this.inc({ outcome }, attempts);
    },
  });
}
