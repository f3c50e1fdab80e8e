// How the device of `waygate try` comes by its name: as one that a vendor ships. The name is ordered, the
// code lies beside device.yaml, and the device redeems it at its first boot.
import type { Store } from './certs/store.ts';
import { type DeviceName, type Hostname, parseDeviceName } from './dns/name.ts';
import { openLog } from './log.ts';
import type { PublicKey } from './relay/protocol/key.ts';
import { order, withdrawOrder } from './relay/registry/deeds/order.ts';
import { forgetOtherZone } from './relay/registry/deeds/zone-apex.ts';
import { listOrders, PAGE_LIMITS } from './relay/registry/listings.ts';
import { openRegistry, type Registry } from './relay/registry/registry.ts';
import { TryError } from './try-error.ts';

/** The name of the one device, until somebody renames it. */
const FIRST_NAME = 'demo';

/** Where the code lies, in the directory. */
export const CODE_FILE = 'device.code';

export interface NamePlan {
  /** The file of the registry. */
  readonly registry: string;
  readonly zone: Hostname;
  readonly deviceKey: PublicKey;
  /** Where the code is written. */
  readonly store: Pick<Store, 'write'>;
}

/** Resolves with the name that the device has, or will have after its first boot. */
export async function prepareName(plan: NamePlan): Promise<DeviceName> {
  const { log } = await openLog('try', 'warn');
  const database = { kind: 'sqlite', file: plan.registry } as const;
  const registry = await openRegistry({ database, log });
  try {
    await registry.perform(forgetOtherZone(plan.zone));
    return await nameOf(plan, registry);
  } finally {
    await registry.close();
  }
}

async function nameOf({ deviceKey, store }: NamePlan, registry: Registry): Promise<DeviceName> {
  const { thumbprint } = deviceKey;
  const [own] = registry.snapshot.namesOf(thumbprint);
  if (own !== undefined) return own;
  const name = parseDeviceName(FIRST_NAME);
  if (name === undefined) throw new TryError(`${FIRST_NAME} is no name.`);
  const holder = registry.snapshot.deviceOf(name)?.thumbprint;
  if (holder !== undefined) {
    // Its key was thrown away: whoever has the directory is the vendor too.
    await registry.enroll({ name, deviceKey, actor: ACTOR, replacing: holder });
    return name;
  }
  await store.write(CODE_FILE, `${await orderCode(name, registry)}\n`);
  return name;
}

/** A new code; that of a start which was broken off is not known any more. */
async function orderCode(name: DeviceName, registry: Registry): Promise<string> {
  const { rowsMax: limit } = PAGE_LIMITS;
  const open = await registry.read(listOrders({ open: true, nowMs: Date.now(), limit }));
  for (const { id, name: ordered } of open) {
    if (ordered === name) await registry.perform(withdrawOrder({ id, actor: ACTOR }));
  }
  const { code } = await registry.perform(order({ name, actor: ACTOR }));
  return code;
}

const ACTOR = 'try';
