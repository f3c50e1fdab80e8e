// A recovery waits for the letter that tells its owner of it: its delay begins when the mail server has that
// letter, or when it is certain that it never will.
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openMail } from '../../../relay/portal/mail.ts';
import { OwnerDeeds } from '../../../relay/portal/owner-deeds.ts';
import { OwnerNotices } from '../../../relay/portal/owner-notices.ts';
import { Post } from '../../../relay/portal/post.ts';
import { lapse } from '../../../relay/registry/deeds/lapse.ts';
import { endLetter, sweepLetters } from '../../../relay/registry/deeds/letter-end.ts';
import { vetoRecovery } from '../../../relay/registry/deeds/recovery.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { LETTER_LIMITS, takeLetters } from '../../../relay/registry/letters.ts';
import { listRecoveries } from '../../../relay/registry/listings.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { freePort } from '../../world/free-port.ts';
import { Postbox } from '../../world/postbox.ts';
import { hostname } from '../protocol/hello-fixture.ts';
import { DAY, DeedWorld, ENGINES, type Engine, HOUR } from '../registry/deeds/deed-world.ts';
import { deviceName } from '../registry/fixture.ts';

const ANN = 'ann@example.org';
const name = deviceName('alice');
const LEASE_MS = HOUR;
const log = pino({ level: 'silent' });

/** A recovery that has begun where the mail server is away. */
class Stand {
  readonly world: DeedWorld;
  readonly #smtpPort: number;

  private constructor(world: DeedWorld, smtpPort: number) {
    this.world = world;
    this.#smtpPort = smtpPort;
  }

  static async begun(engine: Engine) {
    const world = await DeedWorld.of(engine);
    const stand = new Stand(world, await freePort());
    const ownerId = await world.owner(ANN);
    const old = await world.enrolled('alice', { ownerId });
    const claim = await world.claim();
    const post = await stand.post(world.registry);
    const sender = () => ({ origin: 'https://my.vendor.test', zone: 'vendor.test' });
    // Letters are sent when a test says so.
    const later = { soon: () => undefined };
    const notices = new OwnerNotices({ sender, post: later, clockMs: () => world.nowMs, log });
    const { registry } = world;
    const deeds = new OwnerDeeds({ registry, notices, sender, send: () => undefined });
    const typist = { ownerId, from: '192.0.2.9' };
    const outcome = await deeds.approve(typist, claim.code, 'alice');
    return { stand, world, ownerId, old, claim, post, outcome };
  }

  /** Of a relay, at the only mail server that there is. */
  async post(registry: Registry): Promise<Post> {
    const smtp = { host: '127.0.0.1', port: this.#smtpPort, secure: false, from: 'a@vendor.test' };
    const deliver = await openMail({ config: { smtp }, hostname: hostname('my.vendor.test'), log });
    if (deliver === undefined) throw new Error('no mail');
    const post = new Post({ registry, deliver, clockMs: () => this.world.nowMs, log });
    onTestFinished(() => post.close());
    return post;
  }

  async mailComesBack(): Promise<Postbox> {
    const box = new Postbox();
    await box.listen(this.#smtpPort);
    onTestFinished(() => box[Symbol.asyncDispose]());
    return box;
  }

  /** What the old device is told of it. */
  threat(key: { readonly thumbprint: string }) {
    return this.world.registry.snapshot.recoveriesAgainst(key.thumbprint)[0];
  }

  /** It ends at this moment, and not before. */
  async expectDue(dueMs: number): Promise<void> {
    const { world } = this;
    world.nowMs = dueMs - 1;
    expect(await world.do(lapse())).toEqual([]);
    world.nowMs = dueMs;
    expect(await world.do(lapse())).toMatchObject([{ kind: 'recovered', name: 'alice' }]);
  }
}

describe.each(ENGINES)('on $engine', (engine) => {
  test('attack: who has the mail server out of the way gets no name while its owner is not told', async () => {
    const { stand, world, ownerId, old, claim, post, outcome } = await Stand.begun(engine);
    expect(outcome).toMatchObject({ kind: 'recovering', dueAtMs: world.nowMs + DAY });
    for (let hour = 0; hour < 50; hour += 1) {
      await post.settled();
      world.nowMs += HOUR;
      expect(await world.do(lapse())).toEqual([]);
    }
    // Nobody is promised a moment that has passed.
    const waits = { dueAtMs: world.nowMs + DAY, waitsForMail: true };
    expect(await claim.state()).toEqual({ state: 'recovering', name: 'alice', ...waits });
    expect(stand.threat(old.key)).toMatchObject({ waitsForMail: true });
    const box = await stand.mailComesBack();
    await post.settled();
    const letter = await box.letter(ANN, /alice is about to move/);
    expect(letter).toMatch(/gets the name 24 hours\s+after this letter was sent/);
    const dueAtMs = world.nowMs + DAY;
    expect(await claim.state()).toEqual({ state: 'recovering', name: 'alice', dueAtMs });
    expect(stand.threat(old.key)).toMatchObject({ dueAtMs, waitsForMail: false });
    const [listed] = await world.registry.read(listRecoveries({ ownerId }));
    expect(listed).toMatchObject({ dueAtMs, waitsForMail: false });
    const due = new Date(dueAtMs).toISOString();
    expect((await world.history('alice')).at(-1)).toBe(
      `clock recovery-told ${outcome.kind === 'recovering' && outcome.id}, due ${due}`,
    );
    await stand.expectDue(dueAtMs);
    expect(world.registry.snapshot.deviceOf(name)?.thumbprint).toBe(claim.key.thumbprint);
  });

  test('a letter that is given up after three days ends the wait, and the history says so', async () => {
    const { stand, world, claim, post } = await Stand.begun(engine);
    const until = world.nowMs + 3 * DAY;
    while (world.nowMs <= until) {
      await post.settled();
      if (post.outcomes.has('given-up')) break;
      world.nowMs += HOUR;
    }
    const givenUpMs = world.nowMs;
    expect(givenUpMs).toBeGreaterThan(until - 3 * HOUR);
    const due = new Date(givenUpMs + DAY).toISOString();
    expect((await world.history('alice')).at(-1)).toMatch(
      new RegExp(`recovery-not-told \\w+, due ${due}: the letter .* could not be delivered`),
    );
    expect(await claim.state()).toMatchObject({ dueAtMs: givenUpMs + DAY });
    await stand.expectDue(givenUpMs + DAY);
  });

  test('of two relays one dies with the letter: the delay counts from when the other has sent it', async () => {
    const { stand, world } = await Stand.begun(engine);
    const taking = { nowMs: world.nowMs, leaseMs: LEASE_MS, max: 9 };
    const [taken] = await world.registry.write(takeLetters(taking));
    if (taken === undefined) throw new Error('no letter');
    const other = await world.another();
    const post = await stand.post(other);
    const box = await stand.mailComesBack();
    await post.settled();
    expect(box.attempts, 'the first might be alive').toBe(0);
    world.nowMs += LEASE_MS;
    await post.settled();
    expect(box.letters).toHaveLength(1);
    const dueAtMs = world.nowMs + DAY;
    // It was not dead, and says late what became of the letter.
    world.nowMs += HOUR;
    expect(await world.do(endLetter(taken, 'given-up'))).toBe(false);
    await stand.expectDue(dueAtMs);
  });

  test('a letter that no relay can send any more holds nothing up for ever', async () => {
    const { stand, world } = await Stand.begun(engine);
    world.nowMs += LETTER_LIMITS.forgetMs;
    expect(await world.do(sweepLetters())).toBe(0);
    expect(await world.do(lapse())).toEqual([]);
    world.nowMs += 1;
    expect(await world.do(sweepLetters())).toBe(1);
    await stand.expectDue(world.nowMs + DAY);
  });

  test('meanwhile it is vetoed, or goes along with a rename, as ever', async () => {
    const { stand, world, old, claim, post } = await Stand.begun(engine);
    const to = deviceName('wonder');
    await world.do(rename({ name, to, by: old.device }));
    world.nowMs += 2 * DAY;
    expect(await world.do(lapse())).toEqual([]);
    const id = stand.threat(old.key)?.id ?? '';
    expect(stand.threat(old.key)).toMatchObject({ name: 'wonder', waitsForMail: true });
    await world.do(vetoRecovery({ id, by: old.device }));
    expect(await claim.state()).toMatchObject({ state: 'denied' });
    const before = await world.history('wonder');
    await stand.mailComesBack();
    await post.settled();
    expect(await world.history('wonder')).toEqual(before);
    world.nowMs += 9 * DAY;
    expect(await world.do(lapse())).not.toContainEqual(
      expect.objectContaining({ kind: 'recovered' }),
    );
  });
});
