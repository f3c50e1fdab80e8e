// A map that never changes, of which a changed copy costs little: the keys are spread over shards, and
// a copy shares all shards but those it touches. With 100,000 keys a change copies some hundred
// entries, where a whole `Map` would stop the event loop for tens of milliseconds.

/** 1,024 shards: about 100 keys in each at 100,000, and 8 KB for the list of shards itself. */
const SHARDS = 1024;

/** A map that is still being filled; it ends with `done`. */
export interface ShardedMapDraft<Value> {
  set(key: string, value: Value): void;
  done(): ShardedMap<Value>;
}

export class ShardedMap<Value> {
  readonly size: number;
  readonly #shards: readonly (ReadonlyMap<string, Value> | undefined)[];

  private constructor(shards: readonly (ReadonlyMap<string, Value> | undefined)[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static of<Value>(entries: Iterable<readonly [string, Value]>): ShardedMap<Value> {
    return new ShardedMap<Value>(new Array(SHARDS).fill(undefined), 0).with(entries);
  }

  /** For a first filling that is too large to be held twice. */
  static draft<Value>(): ShardedMapDraft<Value> {
    const shards: (Map<string, Value> | undefined)[] = new Array(SHARDS).fill(undefined);
    return {
      set: (key, value) => {
        const index = shardOf(key);
        const shard = shards[index] ?? new Map<string, Value>();
        shards[index] = shard.set(key, value);
      },
      done: () => {
        const size = shards.reduce((sum, shard) => sum + (shard?.size ?? 0), 0);
        return new ShardedMap(shards, size);
      },
    };
  }

  get(key: string): Value | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) ?? false;
  }

  *keys(): Generator<string> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.keys();
  }

  /** A copy with these entries set; `undefined` as a value removes the key. */
  with(changes: Iterable<readonly [string, Value | undefined]>): ShardedMap<Value> {
    const shards = [...this.#shards];
    const copied = new Map<number, Map<string, Value>>();
    let size = this.size;
    for (const [key, value] of changes) {
      const index = shardOf(key);
      let shard = copied.get(index);
      if (shard === undefined) {
        shard = new Map(this.#shards[index]);
        copied.set(index, shard);
        shards[index] = shard;
      }
      size -= shard.size;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
      size += shard.size;
    }
    return new ShardedMap(shards, size);
  }
}

/** FNV-1a. Names and thumbprints are not chosen against it: a crowded shard is slower to copy, no more. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  }
  return (hash ^ (hash >>> 16)) & (SHARDS - 1);
}
