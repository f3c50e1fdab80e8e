// Another process at the registry. It is told on its standard input, as JSON, where the registry is.
// `race KEYS...`: enrols one name for each key at once, and says what became of each.
// `flood PREFIX ADDRESS`: orders, redeems, claims and renames names for ever, and says each that was done.
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { type DeviceName, parseDeviceName } from '../../../dns/name.ts';
import { generateKey, parsePublicKey } from '../../../relay/protocol/key.ts';
import { approveClaim } from '../../../relay/registry/deeds/approve-claim.ts';
import { openClaim } from '../../../relay/registry/deeds/claim.ts';
import { order } from '../../../relay/registry/deeds/order.ts';
import { redeemOrder } from '../../../relay/registry/deeds/redeem-order.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import { RegistryError } from '../../../relay/registry/registry-error.ts';
import { signIn } from '../../../relay/registry/sign-in.ts';

/** What a flood has done, once the registry has acknowledged it. */
export type Done =
  | { readonly did: 'order'; readonly name: string }
  /** The name is held by the key. */
  | { readonly did: 'redeem' | 'claim' | 'enroll'; readonly name: string; readonly key: string }
  | { readonly did: 'rename'; readonly name: string; readonly to: string; readonly key: string };

const [, , mode, ...rest] = process.argv;
const place = JSON.parse(await text(process.stdin));
const registry = await openRegistry({ database: place, log: pino({ level: 'silent' }) });
if (mode === 'race') await race(registry, rest);
else await flood(registry, { prefix: rest[0] ?? '', address: rest[1] ?? '' });

async function race(of: Registry, keys: readonly string[]): Promise<void> {
  const name = parseDeviceName('alice');
  assert(name !== undefined);
  const outcomes = await Promise.all(
    keys.map(async (each) => {
      const key = parsePublicKey(each, 'device');
      assert(key !== undefined);
      return of.enroll({ name, deviceKey: key, actor: 'test' }).then(
        (outcome) => `${key.thumbprint} ${outcome}`,
        (error: unknown) => (error instanceof RegistryError ? error.code : String(error)),
      );
    }),
  );
  process.stdout.write(outcomes.join('\n'));
  await of.close();
}

interface Flood {
  readonly prefix: string;
  /** Where its devices ask from: open claims are bounded for each network. */
  readonly address: string;
}

async function flood(of: Registry, { prefix, address }: Flood): Promise<void> {
  const subject = `${prefix}@example.org`;
  const identity = { issuer: 'mailto', subject, email: subject, emailVerified: true };
  const owner = await of.write(signIn({ ...identity, nowMs: Date.now() }));
  // Side by side, so that whatever the moment, each kind is on its way.
  await Promise.all([
    forEver((at) => orderAndRedeem(of, nameOf(`${prefix}-fa`, at))),
    forEver((at) => claim(of, nameOf(`${prefix}-ga`, at), { ownerId: owner.id, address })),
    forEver((at) => enrollAndRename(of, nameOf(`${prefix}-ha`, at), nameOf(`${prefix}-ka`, at))),
  ]);
}

async function forEver(work: (at: number) => Promise<void>): Promise<never> {
  for (let at = 0; ; at += 1) await work(at);
}

async function orderAndRedeem(of: Registry, name: DeviceName): Promise<void> {
  const { code } = await of.perform(order({ name, actor: 'test' }));
  say({ did: 'order', name });
  const deviceKey = generateKey('device').publicKey;
  const { kind } = await of.perform(redeemOrder({ code, deviceKey, from: '192.0.2.1' }));
  assert(kind === 'bound');
  say({ did: 'redeem', name, key: deviceKey.thumbprint });
}

async function claim(
  of: Registry,
  name: DeviceName,
  { ownerId, address }: { readonly ownerId: string; readonly address: string },
): Promise<void> {
  const deviceKey = generateKey('device').publicKey;
  const { code } = await of.perform(openClaim({ deviceKey, address }));
  const { kind } = await of.perform(approveClaim({ code, ownerId, name }));
  assert(kind === 'bound');
  say({ did: 'claim', name, key: deviceKey.thumbprint });
}

async function enrollAndRename(of: Registry, name: DeviceName, to: DeviceName): Promise<void> {
  const deviceKey = generateKey('device').publicKey;
  await of.enroll({ name, deviceKey, actor: 'test' });
  say({ did: 'enroll', name, key: deviceKey.thumbprint });
  await of.perform(rename({ name, to, by: { kind: 'operator', user: 'test' } }));
  say({ did: 'rename', name, to, key: deviceKey.thumbprint });
}

function say(done: Done): void {
  process.stdout.write(`${JSON.stringify(done)}\n`);
}

/** A name with a number in letters of which no two look alike. */
function nameOf(prefix: string, at: number): DeviceName {
  const letters = Array.from(at.toString(8), (digit) => 'abefghkp'[Number(digit)]).join('');
  const name = parseDeviceName(`${prefix}-${letters}`);
  assert(name !== undefined);
  return name;
}
