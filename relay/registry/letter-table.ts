// The fifth migration: letters that wait to be sent (letters.ts).
import { type Engine, index, type SchemaDb, table } from './engine.ts';

export async function createLetters(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'letters')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('to_address', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('body', text, (column) => column.notNull())
    .addColumn('queued_at', 'bigint', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull())
    .addColumn('fence', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'letters', ['due_at']);
  // How many wait for one person.
  await index(db, 'letters', ['to_address']);
}
