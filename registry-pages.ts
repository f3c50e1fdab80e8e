// Lists of the registry of any length, read page by page for a verb that prints them as they come.
import type { RegistryWork } from './relay/registry/database.ts';
import { PAGE_LIMITS } from './relay/registry/listings.ts';
import type { Registry } from './relay/registry/registry.ts';

/** All rows, or the first of them, read page by page; each page begins after the last row of the one before. */
export async function* pages<Row>(
  registry: Registry,
  page: (last: Row | undefined, limit: number) => RegistryWork<readonly Row[]>,
  limit: number = Number.POSITIVE_INFINITY,
): AsyncGenerator<Row> {
  let last: Row | undefined;
  for (let left = limit; left > 0; ) {
    const asked = Math.min(left, PAGE_LIMITS.rowsMax);
    const rows = await registry.read(page(last, asked));
    yield* rows;
    if (rows.length < asked) return;
    left -= rows.length;
    last = rows.at(-1);
  }
}

export async function* mapped<From, To>(rows: AsyncIterable<From>, to: (row: From) => To) {
  for await (const row of rows) yield to(row);
}

/** As people and JSON have it. */
export function time(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
