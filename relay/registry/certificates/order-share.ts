// What one device and one owner may take of an authority's budget (budget.ts). A name costs nothing and can
// be changed five times a day, and a key of a device at any time, while an authority signs fifty certificates
// a week for all names of a vendor: without this, one device would keep the names of all others from theirs.
// What keeps a certificate that is in use is in nobody's share.
import { type Kysely, type SqlBool, sql } from 'kysely';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';

export const SHARE_LIMITS = {
  /**
   * New certificates of a device in seven days: the relay's and its own for the first name, and for two
   * changes of mind.
   */
  perDevicePerWeek: 6,
  /**
   * Of a budget for all, what one owner may take: an office that sets up twelve devices in a week does not
   * wait, and whoever is up to no good leaves as much to all others.
   */
  ownerPart: 0.5,
  /** However small the budget is, an owner may have as much as one device may. */
  perOwnerMin: 6,
} as const;

export type ShareLimit = 'perDevicePerWeek' | 'perOwnerPerWeek' | 'perOwnerPer3Hours';

/** Whose share an order is in; null: there is nobody. */
export interface Shareholder {
  readonly thumbprint: string | null;
  readonly owner_id: string | null;
}

export const NOBODY: Shareholder = { thumbprint: null, owner_id: null };

export interface SharedOrder {
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  /** The zone, for a name in it. */
  readonly domain: string;
}

/** Who has the name or the own domain now. */
export async function shareholder(
  db: Kysely<RegistryTables>,
  { purpose, subject, domain }: SharedOrder,
): Promise<Shareholder> {
  const names = db.selectFrom('names').select(['names.thumbprint', 'names.owner_id']);
  const found =
    purpose === 'domain'
      ? await names
          .innerJoin('domains', 'domains.name', 'names.name')
          .where('domains.domain', '=', subject)
          .where('domains.state', '=', 'proven')
          .executeTakeFirst()
      : await names
          .where('names.name', '=', subject.slice(0, -domain.length - 1))
          .where('names.state', 'in', ['held', 'former'])
          .executeTakeFirst();
  return found ?? NOBODY;
}

export interface SharePeriod {
  readonly which: ShareLimit;
  readonly per: 'week' | '3 hours';
  readonly counted: ReturnType<typeof sql<SqlBool>>;
  readonly max: number;
}

/** What bounds an order in somebody's share. */
export function sharePeriods(
  { ca, purpose, domain }: SharedOrder & { readonly ca: string },
  { thumbprint, owner_id: ownerId }: Shareholder,
  budget: { readonly ordersPer3Hours: number; readonly certificatesPerWeek: number },
): readonly SharePeriod[] {
  const periods: SharePeriod[] = [];
  // Certificates of own domains count below those, where they are in nobody's way.
  const inZone = purpose !== 'domain';
  if (inZone && thumbprint !== null) {
    const counted = sql<SqlBool>`ca = ${ca} and domain = ${domain} and thumbprint = ${thumbprint}`;
    const max = SHARE_LIMITS.perDevicePerWeek;
    periods.push({ which: 'perDevicePerWeek', per: 'week', counted, max });
  }
  if (inZone && ownerId !== null) {
    const counted = sql<SqlBool>`ca = ${ca} and domain = ${domain} and owner_id = ${ownerId}`;
    const max = partOf(budget.certificatesPerWeek);
    periods.push({ which: 'perOwnerPerWeek', per: 'week', counted, max });
  }
  if (ownerId !== null || thumbprint !== null) {
    // A device without an owner stands for itself.
    const whose = ownerId === null ? sql`thumbprint = ${thumbprint}` : sql`owner_id = ${ownerId}`;
    const max = partOf(budget.ordersPer3Hours);
    const counted = sql<SqlBool>`ca = ${ca} and ${whose}`;
    periods.push({ which: 'perOwnerPer3Hours', per: '3 hours', counted, max });
  }
  return periods;
}

function partOf(budget: number): number {
  const { ownerPart, perOwnerMin } = SHARE_LIMITS;
  return Math.max(perOwnerMin, Math.floor(budget * ownerPart));
}

/** A device goes on with another key, and its share with it. */
export async function moveShare(
  db: Kysely<RegistryTables>,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<void> {
  await db
    .updateTable('certificate_orders')
    .set({ thumbprint: to })
    .where('thumbprint', '=', from)
    .execute();
}
