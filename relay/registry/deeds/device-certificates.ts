// What becomes of the certificates of a device's own keys when its name goes elsewhere. Those keys are in
// nobody's custody but the device's, which may show its certificate until that ends, and nobody can make
// it stop: revocation reaches few clients. So a name stays in quarantine until the last of them is over.
// Orders end at once; what was issued stays in the ledger.
import { withDeviceKeys } from '../certificates/device-keys.ts';
import { wipe } from '../certificates/wipe.ts';
import type { DeedScope } from '../deed.ts';

/**
 * An order that is under way when a name is given up may still be fulfilled, and what is issued then is
 * public: within a day, and for 90 days, which is what authorities give.
 */
const LAST_ORDER_MS = 91 * 86_400_000;

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
  const orderMs = ordered === undefined ? 0 : nowMs + LAST_ORDER_MS;
  return Math.max(Number(last ?? 0), orderMs);
}

/** No device gets another certificate for this name, but the one that holds it from now on. */
export async function endDeviceOrders(scope: Scope, name: string, holder = ''): Promise<void> {
  const [first, end] = subjectsOf(name);
  const ended = await scope.db
    .deleteFrom('certificate_work')
    .where('purpose', '=', 'device')
    .where('subject', '>=', first)
    .where('subject', '<', end)
    .where('thumbprint', '!=', holder)
    .returning(['subject', 'thumbprint'])
    .execute();
  await retire(scope, ended);
}

/** No certificate for anything of this device. */
export async function endOrdersOf(scope: Scope, thumbprint: string): Promise<void> {
  const ended = await scope.db
    .deleteFrom('certificate_work')
    .where('purpose', '=', 'device')
    .where('thumbprint', '=', thumbprint)
    .returning(['subject', 'thumbprint'])
    .execute();
  await retire(scope, ended);
}

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
    .where('purpose', '=', 'device')
    .where('thumbprint', '=', from)
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
