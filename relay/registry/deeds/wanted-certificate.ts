// Certificates that somebody asks for whose right to the name is judged in the same deed. Judged before, a
// name or domain could go elsewhere in between: its last holder would have a certificate ordered that
// nobody takes back any more, since what ends with the name has ended already.
import type { CertificateName } from '../../../certs/certificate.ts';
import type { DeviceName, Hostname } from '../../../dns/name.ts';
import { hastenDomain } from '../certificates/domain-orders.ts';
import { want } from '../certificates/work.ts';
import type { Deed, DeedScope } from '../deed.ts';

export interface WantedByDevice {
  readonly thumbprint: string;
  readonly name: DeviceName;
  /** Of that name. */
  readonly subject: Hostname;
  readonly names: readonly CertificateName[];
  /** Base64 of DER. */
  readonly csr: string;
  readonly nowMs: number;
}

/** For a device that holds the name and is not barred. True: there is something to do now. */
export function wantForDevice({ name, thumbprint, ...wanted }: WantedByDevice): Deed<boolean> {
  return async ({ db }) => {
    const holder = await db
      .selectFrom('names')
      .innerJoin('devices', 'devices.thumbprint', 'names.thumbprint')
      .select('names.name')
      .where('names.name', '=', name)
      .where('names.state', '=', 'held')
      .where('names.thumbprint', '=', thumbprint)
      .where('devices.revoked_at', 'is', null)
      .executeTakeFirst();
    if (holder === undefined) return false;
    return want({ ...wanted, purpose: 'device', thumbprint })(db);
  };
}

export interface WantedForDomain {
  readonly domain: Hostname;
  readonly wildcard: boolean;
  readonly names: readonly CertificateName[];
  readonly nowMs: number;
}

/** For a domain that is proven just so, wildcard or not. True: there is something to do now. */
export function wantForDomain({ domain, wildcard, ...wanted }: WantedForDomain): Deed<boolean> {
  return async (scope) => {
    if (!(await isProven(scope, { domain, wildcard }))) return false;
    return want({ ...wanted, purpose: 'domain', subject: domain })(scope.db);
  };
}

/** The same for one that is wanted already, whose last order failed. True: it is due sooner. */
export function hastenForDomain({
  domain,
  wildcard,
  nowMs,
}: Omit<WantedForDomain, 'names'>): Deed<boolean> {
  return async (scope) => {
    if (!(await isProven(scope, { domain, wildcard }))) return false;
    return hastenDomain({ domain, nowMs })(scope.db);
  };
}

async function isProven(
  { db }: DeedScope,
  { domain, wildcard }: Pick<WantedForDomain, 'domain' | 'wildcard'>,
): Promise<boolean> {
  const proven = await db
    .selectFrom('domains')
    .select('target')
    .where('domain', '=', domain)
    .where('state', '=', 'proven')
    .where('wildcard', '=', Number(wildcard))
    .executeTakeFirst();
  return proven !== undefined;
}
