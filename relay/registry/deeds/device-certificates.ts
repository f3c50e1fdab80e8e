// What becomes of the certificates of a device's own keys when its name goes elsewhere. Those keys are in
// nobody's custody but the device's, which may show its certificate until that ends. Its authority is asked
// to revoke it, in the same transaction; but revocation reaches few clients, so a name that is given up
// stays in quarantine until the last of them is over all the same. Orders end at once; what was issued
// stays in the ledger.
import { sql } from 'kysely';
import { askRevocationOfOrders } from '../certificates/abandoned-orders.ts';
import { withDeviceKeys } from '../certificates/device-keys.ts';
import {
  askRevocations,
  REVOCATION,
  type RevocationReason,
  withRevocations,
} from '../certificates/revocation-queue.ts';
import { wipe } from '../certificates/wipe.ts';
import { URGENCY } from '../certificates/work.ts';
import type { DeedScope } from '../deed.ts';

/**
 * An order that is under way when a name is given up may still be fulfilled, and what is issued then is
 * public: within a day, and for 90 days, which is what authorities give.
 */
const LAST_ORDER_MS = 91 * 86_400_000;

/** For a device that is on its way to its new owner, to come with a new key before its old one is revoked. */
const NEW_OWNER_MS = 3 * 86_400_000;

type Scope = Pick<DeedScope, 'db' | 'nowMs'>;

/** Until when a device may have a valid certificate for this name; 0: none ever had. */
export async function heldElsewhereUntilMs({ db, nowMs }: Scope, name: string): Promise<number> {
  const [first, end] = subjectsOf(name);
  const { last } = await db
    .selectFrom('certificates')
    .select((query) => query.fn.max('not_after').as('last'))
    .where('purpose', '=', 'device')
    .where('subject', '>=', first)
    .where('subject', '<', end)
    .executeTakeFirstOrThrow();
  const ordered = await db
    .selectFrom('certificate_work')
    .select('subject')
    .where('purpose', '=', 'device')
    .where('subject', '>=', first)
    .where('subject', '<', end)
    .where('order_url', 'is not', null)
    .executeTakeFirst();
  const abandoned = await withRevocations(db)
    .selectFrom('certificate_revocations')
    .select('id')
    .where('subject', '>=', first)
    .where('subject', '<', end)
    .where('certificate_id', 'is', null)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  const orderMs = (ordered ?? abandoned) === undefined ? 0 : nowMs + LAST_ORDER_MS;
  return Math.max(Number(last ?? 0), orderMs);
}

export interface DeviceEnd {
  readonly name: string;
  /** Of the device that has the name from now on; absent: none. */
  readonly holder?: string;
  /** Why what was issued is revoked; `undefined`: it is not, and its device may show it yet. */
  readonly reason: RevocationReason | undefined;
}

/** No device gets another certificate for this name, but the one that holds it from now on. */
export async function endDeviceOrders(
  scope: Scope,
  { name, holder = '', reason }: DeviceEnd,
): Promise<void> {
  const { db, nowMs } = scope;
  const [from, to] = subjectsOf(name);
  const ended = await db
    .deleteFrom('certificate_work')
    .where('purpose', '=', 'device')
    .where('subject', '>=', from)
    .where('subject', '<', to)
    .where('thumbprint', '!=', holder)
    .returning(['subject', 'thumbprint', 'order_url', 'order_ca'])
    .execute();
  await retire(scope, ended);
  // Nobody ever gets what comes of an order that has ended, but through the public logs.
  const { superseded } = REVOCATION;
  await askRevocationOfOrders(db, ended, { reason: reason ?? superseded, nowMs });
  if (reason !== undefined) await askRevocations(db, { from, to, but: holder }, { reason, nowMs });
}

/** No certificate for anything of this device, whose key is barred: it may be in anybody's hands. */
export async function endOrdersOf(scope: Scope, thumbprint: string): Promise<void> {
  const { db, nowMs } = scope;
  const ended = await db
    .deleteFrom('certificate_work')
    .where('purpose', '=', 'device')
    .where('thumbprint', '=', thumbprint)
    .returning(['subject', 'thumbprint', 'order_url', 'order_ca'])
    .execute();
  await retire(scope, ended);
  const asking = { reason: REVOCATION.keyCompromise, nowMs };
  await askRevocationOfOrders(db, ended, asking);
  await askRevocations(db, { thumbprint }, asking);
}

/**
 * A device goes to a new owner with its name. Whoever had it could have copied the keys of its
 * certificates, and be taken for it unseen: it is called to make new ones, and the old ones are revoked.
 */
export async function replaceDeviceKeys(
  scope: Scope,
  { name, thumbprint }: { readonly name: string; readonly thumbprint: string },
): Promise<void> {
  const { db, nowMs } = scope;
  const [from, to] = subjectsOf(name);
  const reason = REVOCATION.superseded;
  await barDeviceKeys(scope, { name, thumbprint });
  // What is not signed yet is for a key of that time as well.
  const ended = await db
    .deleteFrom('certificate_work')
    .where('purpose', '=', 'device')
    .where('subject', '>=', from)
    .where('subject', '<', to)
    .where('thumbprint', '=', thumbprint)
    .where((eb) =>
      eb.or([
        eb('certificate_id', 'is', null),
        eb('order_url', 'is not', null),
        eb('urgency', '=', URGENCY.absent),
      ]),
    )
    .returning(['subject', 'thumbprint', 'order_url', 'order_ca'])
    .execute();
  await retire(scope, ended);
  await askRevocationOfOrders(db, ended, { reason, nowMs });
  await db
    .updateTable('certificate_work')
    .set({ urgency: URGENCY.asked, due_at: nowMs })
    .where('purpose', '=', 'device')
    .where('subject', '>=', from)
    .where('subject', '<', to)
    .where('thumbprint', '=', thumbprint)
    .execute();
  const dueAtMs = nowMs + NEW_OWNER_MS;
  await askRevocations(db, { from, to, only: thumbprint }, { reason, nowMs, dueAtMs });
}

/** Whatever keys the device has shown, it gets no certificate for any of them: it makes another one. */
async function barDeviceKeys(
  { db }: Pick<Scope, 'db'>,
  { name, thumbprint }: { readonly name: string; readonly thumbprint: string },
): Promise<void> {
  await withDeviceKeys(db)
    .updateTable('certificate_keys')
    .set({ thumbprint: NOBODY })
    .where('thumbprint', '=', thumbprint)
    .where('name', '=', name)
    .execute();
}

/** As with the relay's own keys, of which no device gets a certificate either. */
const NOBODY = '';

/** Nothing more is done for what was issued; nobody asks its authority when to renew it. */
async function retire(
  { db, nowMs }: Scope,
  ended: readonly { readonly subject: string; readonly thumbprint: string }[],
): Promise<void> {
  for (const { subject, thumbprint } of ended) {
    await wipe(db, { purpose: 'device', subject, thumbprint, nowMs });
  }
}

/** A device has a new identity key, and keeps those of its certificates. */
export async function moveDeviceKeys(
  { db }: Pick<DeedScope, 'db'>,
  { from, to: thumbprint }: { readonly from: string; readonly to: string },
): Promise<void> {
  await db
    .updateTable('certificate_work')
    .set({ thumbprint })
    .where('purpose', '=', 'device')
    .where('thumbprint', '=', from)
    .execute();
  await db
    .updateTable('certificates')
    .set({ thumbprint })
    // By the index of the few that devices have.
    .where(sql<boolean>`thumbprint != ''`)
    .where('thumbprint', '=', from)
    .execute();
  // It is told still that those are to be replaced.
  const own = db
    .selectFrom('certificates')
    .select('id')
    .where(sql<boolean>`thumbprint != ''`)
    .where('thumbprint', '=', thumbprint);
  await withRevocations(db)
    .updateTable('certificate_revocations')
    .set({ thumbprint })
    .where('certificate_id', 'in', own)
    .execute();
  await withDeviceKeys(db)
    .updateTable('certificate_keys')
    .set({ thumbprint })
    .where('thumbprint', '=', from)
    .execute();
}

/** `alice.vendor.dev`, whatever the zone: from `alice.` to the text after all that begin so. */
function subjectsOf(name: string): readonly [first: string, end: string] {
  return [`${name}.`, `${name}/`];
}
