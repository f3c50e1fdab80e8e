// Lists by key, of which some change while those of before stay as they are.

export class ChangedLists<Item> {
  readonly #present: (key: string) => readonly Item[];
  readonly #changed = new Map<string, Item[]>();

  constructor(present: (key: string) => readonly Item[]) {
    this.#present = present;
  }

  add(key: string, item: Item): void {
    this.#of(key).push(item);
  }

  remove(key: string, item: Item): void {
    const list = this.#of(key);
    const at = list.indexOf(item);
    if (at !== -1) list.splice(at, 1);
  }

  /** The changed lists; one that is empty by now is `undefined`. */
  *entries(): Generator<readonly [string, readonly Item[] | undefined]> {
    for (const [key, list] of this.#changed) yield [key, list.length > 0 ? list : undefined];
  }

  #of(key: string): Item[] {
    const list = this.#changed.get(key) ?? [...this.#present(key)];
    this.#changed.set(key, list);
    return list;
  }
}
