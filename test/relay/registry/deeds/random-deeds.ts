// Random sequences of deeds, done for real and followed by the model (name-model.ts). Each deed either is
// acknowledged, and then does in the rows what it does in the model, or is refused and changes nothing.
import fc from 'fast-check';
import { expect } from 'vitest';
import type { PublicKey } from '../../../../relay/protocol/key.ts';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { openClaim } from '../../../../relay/registry/deeds/claim.ts';
import { enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order, withdrawOrder } from '../../../../relay/registry/deeds/order.ts';
import { vetoRecovery, withdrawRecovery } from '../../../../relay/registry/deeds/recovery.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { rotateKey } from '../../../../relay/registry/deeds/rotate-key.ts';
import { acceptTransfer, offerTransfer } from '../../../../relay/registry/deeds/transfer.ts';
import { listRecoveries } from '../../../../relay/registry/listings.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { RegistryError } from '../../../../relay/registry/registry-error.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DeedWorld, type Engine, HOUR, operator } from './deed-world.ts';
import { dump, expectSound, NameModel, readCells, replay } from './name-model.ts';

const NAMES = ['alice', 'bruno', 'carla', 'dieter'].map(deviceName);
const MAILS = ['ann@example.org', 'bob@example.org'];
const actor = 'cli:root';

const KINDS = [
  ...(['enroll', 'replace', 'release', 'rename', 'rename', 'rename', 'order', 'order'] as const),
  ...(['redeem', 'redeem', 'withdraw-order', 'claim', 'claim', 'claim', 'claim'] as const),
  ...(['offer', 'offer', 'accept', 'accept', 'veto', 'withdraw', 'rotate', 'revoke'] as const),
  ...(['pass', 'pass', 'pass'] as const),
];

const AIMS: Readonly<Partial<Record<(typeof KINDS)[number], readonly string[]>>> = {
  replace: ['held'],
  release: ['held', 'former'],
  rename: ['held'],
  claim: ['held', 'ordered', 'quarantined'],
  offer: ['held'],
  order: ['quarantined'],
};

const STEP = fc.record({
  kind: fc.constantFrom(...KINDS),
  name: fc.constantFrom(...NAMES),
  to: fc.constantFrom(...NAMES),
  key: fc.nat({ max: 2 }),
  owner: fc.nat({ max: 1 }),
  by: fc.constantFrom('owner', 'device', 'operator'),
  hours: fc.constantFrom(1, 24, 24, 24, 31 * 24, 91 * 24),
  pick: fc.nat(),
});

type Step = typeof STEP extends fc.Arbitrary<infer Value> ? Value : never;

/** Fails if any sequence of deeds breaks what name-model.ts demands. */
export async function tryRandomDeeds(
  engine: Engine,
  { runs, length }: { runs: number; length: number },
) {
  const steps = fc.array(STEP, { minLength: length, maxLength: length });
  let acknowledged = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const trial = await Trial.of(engine);
      for (const step of sequence) acknowledged += Number(await trial.take(step));
      await trial.close();
    }),
    { numRuns: runs, endOnFailure: true },
  );
  // Otherwise nothing was tried.
  expect(acknowledged).toBeGreaterThan(runs * length * 0.2);
}

class Trial {
  readonly #world: DeedWorld;
  readonly #other: Registry;
  readonly #owners: readonly string[];
  readonly #model = new NameModel();
  readonly #keys: PublicKey[] = [deviceKey(), deviceKey(), deviceKey()];
  readonly #orders: { id: string; code: string; name: string; owner: string | null }[] = [];
  readonly #offers: { code: string; to: number }[] = [];

  private constructor(world: DeedWorld, other: Registry, owners: readonly string[]) {
    this.#world = world;
    this.#other = other;
    this.#owners = owners;
  }

  static async of(engine: Engine): Promise<Trial> {
    const world = await DeedWorld.of(engine);
    const owners: string[] = [];
    for (const mail of MAILS) owners.push(await world.owner(mail));
    return new Trial(world, await world.another(), owners);
  }

  async close(): Promise<void> {
    await Promise.all([this.#world.registry.close(), this.#other.close()]);
  }

  /** True if the deed was acknowledged. */
  async take(step: Step): Promise<boolean> {
    const { registry } = this.#world;
    const before = await registry.read(dump);
    const done = await this.#do(this.#aim(step)).catch((error: unknown) => {
      if (!(error instanceof RegistryError)) throw error;
      return error;
    });
    if (done instanceof RegistryError) expect(await registry.read(dump)).toBe(before);
    const cells = await registry.read(readCells);
    expect(cells).toEqual(new Map([...this.#model.cells].sort()));
    const told = [...cells].map(([name, { owner: _, ...cell }]) => [name, cell] as const);
    expect(await registry.read(replay)).toEqual(new Map(told));
    await registry.read(expectSound);
    await this.#expectSeen();
    return done === true;
  }

  /** Most often at a name, an order or an owner with whom there is something to do. */
  #aim(step: Step): Step {
    const { kind, pick } = step;
    const states = AIMS[kind];
    if (pick % 8 === 0 || states === undefined) return step;
    const cells = [...this.#model.cells].filter(
      ([, cell]) => states.includes(cell.state) && (kind !== 'offer' || cell.owner !== null),
    );
    const [name, cell] = cells[pick % Math.max(1, cells.length)] ?? [step.name, undefined];
    const owner = Math.max(0, this.#owners.indexOf(cell?.owner ?? this.#owner(step.owner)));
    const back = pick % 3 === 0 ? this.#model.formersOf(name)[0] : undefined;
    const free = NAMES.find((each) => !this.#model.cells.has(each));
    return { ...step, name: deviceName(name), to: deviceName(back ?? free ?? step.to), owner };
  }

  /** Another process sees the same. */
  async #expectSeen(): Promise<void> {
    await this.#other.poll();
    for (const { snapshot } of [this.#world.registry, this.#other]) {
      for (const name of NAMES) {
        const cell = this.#model.cell(name);
        const [key, successor] = [cell?.state === 'held' ? cell.key : undefined, cell?.successor];
        expect(snapshot.deviceOf(name)?.thumbprint).toBe(key);
        expect(snapshot.successorOf(name)).toBe(successor ?? undefined);
      }
    }
  }

  /** Resolves with false if the code was wrong, or there was nothing to do. */
  async #do(step: Step): Promise<boolean> {
    switch (step.kind) {
      case 'enroll':
      case 'replace':
        return this.#enroll(step);
      case 'release':
        await this.#world.do(release({ name: step.name, by: this.#by(step) }));
        this.#model.release(step.name);
        return true;
      case 'rename':
        await this.#world.do(rename({ name: step.name, to: step.to, by: this.#by(step) }));
        this.#model.rename(step.name, step.to);
        return true;
      case 'order':
      case 'withdraw-order':
      case 'redeem':
        return this.#orderStep(step);
      case 'claim':
        return this.#claim(step);
      case 'offer':
      case 'accept':
        return this.#transferStep(step);
      case 'veto':
      case 'withdraw':
        return this.#endRecovery(step);
      case 'rotate':
      case 'revoke':
        return this.#keyStep(step);
      case 'pass':
        return this.#pass(step.hours);
    }
  }

  async #enroll({ kind, name, key, owner, by }: Step): Promise<boolean> {
    const deviceK = this.#key(key);
    const cell = this.#model.cell(name);
    const ownerId = by === 'operator' ? null : this.#owner(owner);
    const replacing = kind === 'replace' ? (cell?.key ?? undefined) : undefined;
    const outcome = await this.#world.do(
      enroll({
        ...{ name, deviceKey: deviceK, actor, allowLookalike: false },
        ...(ownerId !== null && { ownerId }),
        ...(replacing !== undefined && { replacing }),
      }),
    );
    const wanted = ownerId ?? cell?.owner ?? null;
    const { thumbprint } = deviceK;
    if (outcome === 'replaced') this.#model.handOver(name, { key: thumbprint, owner: wanted });
    else if (cell?.state === 'held') this.#model.handOver(name, { owner: wanted });
    else this.#model.hold(name, thumbprint, wanted);
    return true;
  }

  async #orderStep({ kind, name, key, owner, by, pick }: Step): Promise<boolean> {
    if (kind === 'order') {
      const ownerId = by === 'operator' ? null : this.#owner(owner);
      const wanted = { name, actor, ...(ownerId !== null && { ownerId }) };
      const receipt = await this.#world.do(order(wanted));
      this.#orders.push({ ...receipt, name, owner: ownerId });
      this.#model.order(name, ownerId);
      return true;
    }
    const known = this.#orders.at(-1 - (pick % 3));
    if (known === undefined) return false;
    if (kind === 'withdraw-order') {
      await this.#world.do(withdrawOrder({ id: known.id, actor }));
      this.#model.dropOrder(known.name);
      return true;
    }
    const deviceK = this.#key(key);
    const redeem = redeemOrder({ code: known.code, deviceKey: deviceK, from: '192.0.2.1' });
    const outcome = await this.#world.do(redeem);
    if (outcome.kind === 'wrong-code') return false;
    const cell = this.#model.cell(known.name);
    if (cell?.state === 'ordered') this.#model.hold(known.name, deviceK.thumbprint, known.owner);
    expect(this.#model.cell(outcome.name)).toMatchObject({
      state: 'held',
      key: deviceK.thumbprint,
    });
    return true;
  }

  async #claim({ name, key, owner }: Step): Promise<boolean> {
    const deviceK = this.#key(key);
    const ownerId = this.#owner(owner);
    const { code } = await this.#world.do(openClaim({ deviceKey: deviceK, address: '::1' }));
    // What comes now may be refused, and then the claim stays; it is no name.
    const approval = this.#world.do(approveClaim({ code, ownerId, name }));
    const outcome = await approval.catch((error: unknown) => {
      if (!(error instanceof RegistryError)) throw error;
      return undefined;
    });
    if (outcome === undefined || outcome.kind === 'wrong-code') return false;
    if (outcome.kind === 'recovering') return true;
    if (this.#model.cell(name)?.state === 'held') this.#model.handOver(name, { owner: ownerId });
    else this.#model.hold(name, deviceK.thumbprint, ownerId);
    return true;
  }

  async #transferStep({ kind, name, owner, pick, by }: Step): Promise<boolean> {
    if (kind === 'offer') {
      const toEmail = MAILS[1 - owner] ?? '';
      const from = by === 'operator' ? operator : this.#ownerBy(owner);
      const { code } = await this.#world.do(offerTransfer({ name, by: from, toEmail }));
      this.#offers.push({ code, to: 1 - owner });
      return true;
    }
    const offer = this.#offers.at(-1 - (pick % 2));
    if (offer === undefined) return false;
    const { code, to } = offer;
    const ownerId = this.#owner(pick % 8 === 0 ? owner : to);
    const outcome = await this.#world.do(acceptTransfer({ code, ownerId }));
    if (outcome.kind === 'wrong-code') return false;
    this.#model.handOver(outcome.name, { owner: ownerId });
    return true;
  }

  async #endRecovery(step: Step): Promise<boolean> {
    const { registry } = this.#world;
    const lists = this.#owners.map((ownerId) => registry.read(listRecoveries({ ownerId })));
    const waiting = (await Promise.all(lists)).flat();
    const { id, name } = waiting[step.pick % Math.max(1, waiting.length)] ?? {
      id: 'none',
      ...step,
    };
    const by = this.#by({ ...step, name: deviceName(name) });
    await this.#world.do(
      step.kind === 'veto' ? vetoRecovery({ id, by }) : withdrawRecovery({ id, by }),
    );
    return true;
  }

  async #keyStep({ kind, key, pick }: Step): Promise<boolean> {
    const { thumbprint } = this.#key(key);
    const newKey = deviceKey();
    if (kind === 'rotate') {
      await this.#world.do(rotateKey({ thumbprint, newKey }));
      this.#model.rotate(thumbprint, newKey.thumbprint);
    } else await this.#world.do(revoke({ thumbprint, actor }));
    // Now and then the barred one goes on trying.
    if (kind === 'rotate' || pick % 4 > 0) this.#keys[key] = newKey;
    return true;
  }

  async #pass(hours: number): Promise<boolean> {
    this.#world.nowMs += hours * HOUR;
    let happened: Awaited<ReturnType<ReturnType<typeof lapse>>>;
    do {
      happened = await this.#world.do(lapse());
      for (const event of happened) {
        if (event.kind === 'recovered') {
          this.#model.handOver(event.name, { key: event.newThumbprint });
        } else if (event.kind === 'order-lapsed') this.#model.dropOrder(event.name);
        else if (event.kind === 'rename-lapsed') this.#model.quarantine(event.name);
        else if (event.kind === 'freed') this.#model.cells.delete(event.name);
      }
    } while (happened.length > 0);
    const { nowMs } = this.#world;
    const over = (db: Parameters<typeof readCells>[0]) =>
      db.selectFrom('names').select('name').where('until', '<=', nowMs).execute();
    expect(await this.#world.registry.read(over)).toEqual([]);
    return true;
  }

  #key(at: number): PublicKey {
    const key = this.#keys[at];
    if (key === undefined) throw new Error('no such key');
    return key;
  }

  #owner(at: number): string {
    return this.#owners[at] ?? '';
  }

  #ownerBy(at: number) {
    return { kind: 'owner', ownerId: this.#owner(at) } as const;
  }

  /** Most often somebody who may. */
  #by({ name, key, owner, by, pick }: Step) {
    const cell = pick % 4 > 0 ? this.#model.cell(name) : undefined;
    if (by === 'operator') return operator;
    if (by === 'owner') {
      return cell?.owner ? ({ kind: 'owner', ownerId: cell.owner } as const) : this.#ownerBy(owner);
    }
    const thumbprint = cell?.key ?? this.#key(key).thumbprint;
    return { kind: 'device', thumbprint } as const;
  }
}
