// What must be true of names after every deed: a model of a few lines that follows the acknowledged
// deeds, the same told by the history alone, and what the rows have to say of each other.
import type { Kysely } from 'kysely';
import { expect } from 'vitest';
import type { RegistryTables } from '../../../../relay/registry/schema.ts';

export interface Cell {
  readonly state: 'ordered' | 'held' | 'former' | 'quarantined';
  readonly key: string | null;
  readonly owner: string | null;
  readonly successor: string | null;
}

export class NameModel {
  readonly cells = new Map<string, Cell>();

  cell(name: string): Cell | undefined {
    return this.cells.get(name);
  }

  formersOf(name: string): string[] {
    return [...this.cells].flatMap(([each, { successor }]) => (successor === name ? [each] : []));
  }

  hold(name: string, key: string, owner: string | null): void {
    this.cells.set(name, { state: 'held', key, owner, successor: null });
  }

  order(name: string, owner: string | null): void {
    const key = this.cell(name)?.key ?? null;
    this.cells.set(name, { state: 'ordered', key, owner, successor: null });
  }

  /** The name, and those that lead to it. */
  handOver(name: string, change: Partial<Pick<Cell, 'key' | 'owner'>>): void {
    for (const each of [name, ...this.formersOf(name)]) this.#set(each, change);
  }

  rename(name: string, to: string): void {
    const { key, owner } = this.#must(name);
    const older = this.formersOf(name).filter((each) => each !== to);
    this.cells.set(to, { state: 'held', key, owner, successor: null });
    for (const each of [name, ...older]) this.#set(each, { state: 'former', successor: to });
  }

  release(name: string): void {
    for (const each of [name, ...this.formersOf(name)]) this.quarantine(each);
  }

  quarantine(name: string): void {
    this.#set(name, { state: 'quarantined', successor: null });
  }

  /** An order has ended without a device. */
  dropOrder(name: string): void {
    if (this.#must(name).key === null) this.cells.delete(name);
    else this.quarantine(name);
  }

  rotate(from: string, to: string): void {
    for (const [name, { key }] of this.cells) if (key === from) this.#set(name, { key: to });
  }

  #set(name: string, change: Partial<Cell>): void {
    this.cells.set(name, { ...this.#must(name), ...change });
  }

  #must(name: string): Cell {
    const cell = this.cell(name);
    if (cell === undefined) throw new Error(`the model has no ${name}`);
    return cell;
  }
}

type Db = Kysely<RegistryTables>;

export async function readCells(db: Db): Promise<Map<string, Cell>> {
  const rows = await db.selectFrom('names').selectAll().orderBy('name').execute();
  return new Map(
    rows.map(({ name, state, thumbprint, owner_id, successor }) => [
      name,
      { state, key: thumbprint, owner: owner_id, successor },
    ]),
  );
}

/** Everything that a refused deed must leave as it was. */
export async function dump(db: Db): Promise<string> {
  const tables = [
    ...(['names', 'devices', 'orders', 'claims', 'recoveries', 'transfers', 'domains'] as const),
    ...(['history', 'attempts'] as const),
  ];
  const rows: unknown[] = [];
  for (const table of tables) {
    const all: object[] = await db.selectFrom(table).selectAll().execute();
    rows.push(all.map((row) => JSON.stringify(row)).toSorted());
  }
  return JSON.stringify(rows);
}

/** State, key and successor of every name, from nothing but the history. */
export async function replay(db: Db): Promise<Map<string, Omit<Cell, 'owner'>>> {
  const cells = new Map<string, Omit<Cell, 'owner'>>();
  const history = await db.selectFrom('history').selectAll().orderBy('id').execute();
  for (const { name, what, thumbprint: key, detail } of history) {
    if (name === null) continue;
    const before = cells.get(name);
    const held = { state: 'held', key, successor: null } as const;
    const nobodys = { state: 'quarantined', key, successor: null } as const;
    if (what === 'ordered') {
      cells.set(name, { state: 'ordered', key: before?.key ?? null, successor: null });
    } else if (what === 'enrolled') cells.set(name, held);
    else if (what === 'renamed') {
      const to = detail?.startsWith('to ') ? detail.slice(3) : null;
      cells.set(name, to === null ? held : { state: 'former', key, successor: to });
    } else if (HANDED_OVER.has(what) && before !== undefined) cells.set(name, { ...before, key });
    else if (what === 'released' || what === 'rename-lapsed') cells.set(name, nobodys);
    else if (what === 'order-lapsed' && before?.key)
      cells.set(name, { ...nobodys, key: before.key });
    else if (what === 'freed' || what === 'order-lapsed') cells.delete(name);
  }
  return cells;
}

const HANDED_OVER: ReadonlySet<string> = new Set([
  'replaced',
  'recovered',
  'transferred',
  'key-rotated',
]);

/** What the rows of the tables have to say of each other. */
export async function expectSound(db: Db): Promise<void> {
  const cells = await readCells(db);
  const unsound: string[] = [];
  const check = (name: string, sound: boolean): void => {
    if (!sound) unsound.push(`${name}: ${JSON.stringify(cells.get(name))}`);
  };
  const open = await db.selectFrom('orders').selectAll().where('redeemed_at', 'is', null).execute();
  for (const [name, { state, key, owner, successor }] of cells) {
    const target = successor === null ? undefined : cells.get(successor);
    check(name, (state === 'former') === (successor !== null));
    check(name, key !== null || state === 'ordered');
    if (state === 'former') {
      check(name, target?.state === 'held' && target.key === key && target.owner === owner);
    }
    const orders = open.filter((order) => order.name === name);
    check(name, orders.length === (state === 'ordered' ? 1 : 0));
  }
  for (const { name } of open) check(name, cells.get(name)?.state === 'ordered');
  const barred = await db
    .selectFrom('devices')
    .select('thumbprint')
    .where('revoked_at', 'is not', null)
    .execute();
  const revoked = new Set(barred.map(({ thumbprint }) => thumbprint));
  for (const row of await db.selectFrom('recoveries').selectAll().execute()) {
    const cell = cells.get(row.name);
    const held = cell?.state === 'held' && cell.key === row.old_thumbprint;
    const sound = held && cell.owner === row.owner_id && !revoked.has(row.new_thumbprint);
    if (row.state === 'waiting') check(row.name, sound);
  }
  for (const row of await db.selectFrom('transfers').selectAll().execute()) {
    const cell = cells.get(row.name);
    const held = cell?.state === 'held' && cell.owner === row.from_owner_id;
    if (row.state === 'offered') check(row.name, held);
  }
  expect(unsound).toEqual([]);
}
