// Questions at random about a zone: its names, some labels of them changed, lengthened, removed or put
// in front, in any letter case; all types that mean anything and some that do not; with EDNS of every
// size, or none. All of them are sound, so that two right servers have one answer to each.
import type { SeededRandom } from '../world/random.ts';
import { message, opt, option, uint16s } from './messages.ts';

const ROOT = Buffer.of(0);
const COMMON_TYPES = [1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 64, 65, 257, 1000];
const RARE_TYPES = [39, 41, 43, 46, 47, 48, 59, 97, 99, 128, 249, 250, 253, 254, 1001, 65_535];
const CLASSES = [0, 2, 3, 4, 254, 65_535];
const UDP_BYTES = [0, 100, 511, 512, 513, 700, 1000, 1231, 1232, 1233, 4096, 65_535];
/** NSID is not among them: whoever offers one answers it. */
const OPTIONS = [8, 12, 65_001];
const FOREIGN = [['test'], [], ['xvendor', 'test'], ['vendor', 'testx'], ['vendor', 'tes']];

export class RandomQuestions {
  readonly #random: SeededRandom;
  readonly #owners: readonly (readonly string[])[];
  readonly #apex: readonly string[];

  constructor(random: SeededRandom, apex: string, owners: Iterable<string>) {
    this.#random = random;
    this.#apex = apex.split('.');
    this.#owners = [...new Set(owners)].map((owner) =>
      owner.split('.').slice(0, -this.#apex.length),
    );
  }

  next(id: number): Buffer {
    const random = this.#random;
    const flags = random.chance(0.3) ? 0x0100 : random.chance(0.1) ? 0x0630 : 0;
    const type = this.#pick(random.chance(0.8) ? COMMON_TYPES : RARE_TYPES);
    const asked = random.chance(0.97) ? 1 : this.#pick(CLASSES);
    const rest = random.chance(0.6) ? this.#opt() : Buffer.alloc(0);
    return message({ id, flags, name: this.#name(), type, class: asked, rest });
  }

  #opt(): Buffer {
    const random = this.#random;
    const options = OPTIONS.filter(() => random.chance(0.1)).map((code) =>
      option(code, code === 8 ? Buffer.of(0, 1, 24, 0, 192, 0, 2) : Buffer.alloc(5)),
    );
    const ttl = this.#pick([0, 0, 0x8000, 0xd000]);
    return opt(Buffer.concat(options), ttl, this.#pick(UDP_BYTES));
  }

  #name(): Buffer {
    const random = this.#random;
    const labels = [...this.#pick(this.#owners)];
    const at = random.below(labels.length + 1);
    if (random.chance(0.5)) labels.splice(at, random.below(2), this.#label());
    else if (random.chance(0.2)) labels.splice(at, 1);
    else if (random.chance(0.1)) labels.unshift(...new Array<string>(random.below(120)).fill('a'));
    labels.push(...(random.chance(0.95) ? this.#apex : this.#pick(FOREIGN)));
    while (labels.reduce((sum, label) => sum + label.length + 1, 1) > 255) labels.shift();
    const inAnyCase = random.chance(0.3);
    const parts = labels.flatMap((label) => [
      uint16s(label.length).subarray(1),
      Buffer.from(inAnyCase ? this.#anyCase(label) : label, 'latin1'),
    ]);
    return Buffer.concat([...parts, ROOT]);
  }

  #label(): string {
    const random = this.#random;
    const known = this.#pick(this.#pick(this.#owners.filter(({ length }) => length > 0)));
    const bytes = () => String.fromCharCode(random.below(256));
    const makers = [
      () => known,
      () => '*',
      () => `${known}x`.slice(0, 63),
      () => known.slice(1) || 'q',
      () => `${known.slice(0, 2)}.${known.slice(2)}`.slice(0, 63),
      () => 'l'.repeat(63),
      () => `${bytes()}${known.slice(1)}`,
      () => Array.from({ length: 1 + random.below(5) }, bytes).join(''),
    ];
    return this.#pick(makers)();
  }

  #pick<Item>(items: readonly Item[]): Item {
    const item = items[this.#random.below(items.length)];
    if (item === undefined) throw new Error('There is nothing to choose from.');
    return item;
  }

  #anyCase(label: string): string {
    return label.replaceAll(/[a-z]/g, (letter) =>
      this.#random.chance(0.5) ? letter.toUpperCase() : letter,
    );
  }
}
