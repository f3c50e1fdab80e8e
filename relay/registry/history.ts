// The history: every change of who owns what and who may connect. Rows are only ever added. Other
// processes learn from them what to read again, so whatever changes a row of `names`, `devices` or
// `recoveries` that the snapshot shows must be recorded by that name or key.
import type { DeedScope } from './deed.ts';
import type { HistoryWord } from './schema.ts';

export interface HistoryEntry {
  /** As `actorText` writes it. */
  readonly actor: string;
  readonly name?: string | null;
  readonly thumbprint?: string | null;
  readonly detail?: string | null;
}

/** Writes one row, and has the name published anew. */
export async function record(
  { db, nowMs, touch }: Pick<DeedScope, 'db' | 'nowMs' | 'touch'>,
  what: HistoryWord,
  { actor, name = null, thumbprint = null, detail = null }: HistoryEntry,
): Promise<void> {
  await db
    .insertInto('history')
    .values({ at: nowMs, actor, what, name, thumbprint, detail })
    .execute();
  if (name !== null) touch(name);
}
