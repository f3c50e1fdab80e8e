// Letters that are kept: none is lost when a relay is killed or the mail server is away, and each is sent
// by one relay, on both databases.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Logger, pino } from 'pino';
import { Registry as MetricsRegistry } from 'prom-client';
import { expect, onTestFinished, test } from 'vitest';
import { openMail } from '../../../relay/portal/mail.ts';
import { exposeLetters } from '../../../relay/portal/metrics.ts';
import { POST_LIMITS, Post } from '../../../relay/portal/post.ts';
import { also } from '../../../relay/registry/deed.ts';
import { enroll } from '../../../relay/registry/deeds/enroll.ts';
import { sweepLetters } from '../../../relay/registry/deeds/letter-end.ts';
import {
  countLetters,
  type KeptLetter,
  keepLetter,
  LETTER_LIMITS,
  takeLetters,
} from '../../../relay/registry/letters.ts';
import { timesOf, waitingRecoveries } from '../../../relay/registry/recovery-due.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { freePort } from '../../world/free-port.ts';
import { Postbox } from '../../world/postbox.ts';
import { requires } from '../../world/requires.ts';
import { hostname } from '../protocol/hello-fixture.ts';
import { onBothEngines } from '../registry/engines.ts';
import {
  type AnyWorld,
  deviceKey,
  deviceName,
  expectRefusal,
  makeWorld,
} from '../registry/fixture.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const EVE = 'eve@example.org';
/** A recovery that is not there. */
const NONE = { begun_at: 0, due_at: 0, letter_id: null };
const LETTER = { to: EVE, subject: 'Hello', text: 'A text.\n' };

/** A clock that a test moves, and what is logged. */
class Stand {
  readonly lines: string[] = [];
  readonly log: Logger = pino({}, { write: (line: string) => void this.lines.push(line) });
  nowMs = Date.UTC(2026, 10, 21);

  /** A relay's post, at a mail server. */
  async post(
    registry: Pick<Registry, 'read' | 'write' | 'perform'>,
    port: number,
    auth = {},
  ): Promise<Post> {
    const smtp = { host: '127.0.0.1', port, secure: false, from: 'names@vendor.test', ...auth };
    const portal = hostname('my.vendor.test');
    const deliver = await openMail({ config: { smtp }, hostname: portal, log: this.log });
    if (deliver === undefined) throw new Error('no mail');
    const post = new Post({ registry, deliver, clockMs: () => this.nowMs, log: this.log });
    onTestFinished(() => post.close());
    return post;
  }

  keep(registry: Registry, letter = LETTER): Promise<boolean> {
    return registry.write(keepLetter(letter, this.nowMs));
  }

  /** Many in one transaction; how many were taken. */
  keepAll(registry: Registry, letters: readonly KeptLetter[]): Promise<number> {
    return registry.write(async (db) => {
      let taken = 0;
      for (const letter of letters) taken += Number(await keepLetter(letter, this.nowMs)(db));
      return taken;
    });
  }
}

async function waiting(registry: Registry): Promise<number> {
  return (await registry.read(countLetters())).waiting;
}

/** A mail server at a free port. */
async function postbox(at?: number): Promise<{ box: Postbox; port: number }> {
  const port = at ?? (await freePort());
  const box = new Postbox();
  await box.listen(port);
  onTestFinished(() => box[Symbol.asyncDispose]());
  return { box, port };
}

/** A mail server that takes a connection and never says a word: when one has come. */
async function silentServer(): Promise<{ port: number; asked: Promise<void> }> {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    resolve();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, asked };
}

/** Runs a relay that begins a recovery, and kills it while it sends the letter; what it has said. */
async function killedRelay(world: AnyWorld): Promise<string> {
  const { port: smtpPort, asked } = await silentServer();
  const script = new URL('./recovery-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify({ place: world.place, smtpPort, email: EVE }));
  const said = text(child.stdout);
  const closed = once(child, 'close');
  await Promise.race([asked, closed]);
  child.kill('SIGKILL');
  await closed;
  expect(child.signalCode).toBe('SIGKILL');
  return said;
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld) => {
  test('the letter with the veto arrives, though the relay was killed while it sent it', async () => {
    const world = await anyWorld();
    const said = await killedRelay(world);
    expect(said).toContain('the first: bound');
    const registry = await world.open();
    const recoveries = () => registry.read((db) => waitingRecoveries(db).execute());
    const [begun, ...others] = await recoveries();
    expect([timesOf(begun ?? NONE).waitsForMail, others]).toEqual([true, []]);
    const stand = new Stand();
    const { box, port } = await postbox();
    const post = await stand.post(registry, port);
    stand.nowMs = Date.now();
    await post.settled();
    // The relay that was killed had it, and might have been alive.
    expect(box.attempts).toBe(0);
    stand.nowMs += POST_LIMITS.leaseMs;
    await post.settled();
    const letter = await box.letter(EVE, /home-box is about to move/);
    expect(letter).toContain('https://my.vendor.test/names/home-box');
    expect([box.letters.length, await waiting(registry)]).toEqual([1, 0]);
    // Its delay begins with the letter, and not when it was asked for.
    const [told] = await recoveries();
    expect(timesOf(told ?? NONE).waitsForMail).toBe(false);
    expect(told?.due_at).toBeGreaterThan(begun?.due_at ?? Infinity);
  });

  test('a deed and its letter are both there or neither', async () => {
    const stand = new Stand();
    const registry = await (await anyWorld()).open();
    const { perAddressMax, urgentMax } = LETTER_LIMITS;
    const many = Array<KeptLetter>(perAddressMax + 1).fill(LETTER);
    expect(await stand.keepAll(registry, many)).toBe(perAddressMax);
    const veto = { ...LETTER, urgent: true };
    const vetoes = Array<KeptLetter>(urgentMax).fill(veto);
    expect(await stand.keepAll(registry, vetoes)).toBe(urgentMax);
    const name = deviceName('alice');
    const deed = enroll({ name, deviceKey: deviceKey(), actor: 'test' });
    const refused = registry.perform(also(deed, () => [keepLetter(veto, stand.nowMs)]));
    await expectRefusal(refused, 'ERR_TOO_MANY_LETTERS');
    expect(registry.snapshot.deviceOf(name)).toBeUndefined();
    expect(await waiting(registry)).toBe(perAddressMax + urgentMax);
    // Others are told all the same.
    expect(await stand.keep(registry, { ...LETTER, to: 'ann@example.org' })).toBe(true);
  });

  test('two relays send each letter once', async () => {
    const stand = new Stand();
    const world = await anyWorld();
    const relays = [await world.open(), await world.open()];
    const { box, port } = await postbox();
    const posts = await Promise.all(relays.map((registry) => stand.post(registry, port)));
    const subjects = Array.from({ length: 40 }, (_, at) => `Letter ${at}.`);
    const [first] = relays;
    if (first === undefined) throw new Error('no relay');
    await stand.keepAll(
      first,
      subjects.map((subject) => ({ ...LETTER, subject })),
    );
    await Promise.all(posts.map((post) => post.settled()));
    const sent = box.letters.map((letter) => /^Subject: (.*)$/m.exec(letter.text)?.[1]);
    expect(sent.toSorted()).toEqual(subjects.toSorted());
    const shares = posts.map((post) => post.outcomes.get('sent') ?? 0);
    expect(Math.min(...shares)).toBeGreaterThan(0);
    expect(await waiting(first)).toBe(0);
  });

  test('one that was handed over by a relay which died then comes again as the same one', async () => {
    const stand = new Stand();
    const registry = await (await anyWorld()).open();
    const { box, port } = await postbox();
    await stand.keep(registry);
    const taking = { nowMs: stand.nowMs, leaseMs: POST_LIMITS.leaseMs, max: 1 };
    const [taken] = await registry.write(takeLetters(taking));
    const smtp = { host: '127.0.0.1', port, secure: false, from: 'names@vendor.test' };
    const portal = hostname('my.vendor.test');
    const deliver = await openMail({ config: { smtp }, hostname: portal, log: stand.log });
    if (taken === undefined) throw new Error('no letter');
    await deliver?.(taken, taken.id);
    stand.nowMs += POST_LIMITS.leaseMs;
    const post = await stand.post(registry, port);
    await post.settled();
    const ids = box.letters.map((letter) => /^Message-ID: (.*)$/m.exec(letter.text)?.[1]);
    expect(ids).toEqual([`<${taken.id}@my.vendor.test>`, `<${taken.id}@my.vendor.test>`]);
  });
});

test('a mail server that is away for an hour gets the letter when it is back, once', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const port = await freePort();
  const post = await stand.post(registry, port);
  await stand.keep(registry);
  for (let minute = 0; minute < 60; minute += 1) {
    await post.settled();
    stand.nowMs += MINUTE_MS;
  }
  // Again and again, and not all the time.
  expect(post.outcomes.get('deferred')).toBeGreaterThan(4);
  expect(post.outcomes.get('deferred')).toBeLessThan(9);
  const { box } = await postbox(port);
  stand.nowMs += HOUR_MS;
  await post.settled();
  stand.nowMs += HOUR_MS;
  await post.settled();
  expect(box.letters).toMatchObject([{ to: EVE, text: expect.stringContaining('A text.') }]);
  expect(await waiting(registry)).toBe(0);
});

test('what cannot be sent for three days is given up, and told', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const post = await stand.post(registry, await freePort());
  await stand.keep(registry);
  const register = new MetricsRegistry();
  exposeLetters({ post, registry, clockMs: () => stand.nowMs, registers: [register] });
  for (let hour = 0; hour < 71; hour += 1) {
    await post.settled();
    stand.nowMs += HOUR_MS;
  }
  const figures = await register.metrics();
  expect(figures).toContain('waygate_letters_waiting 1');
  expect(figures).toContain(`waygate_letters_oldest_seconds ${71 * 3_600}`);
  for (let hour = 0; hour < 2; hour += 1) {
    await post.settled();
    stand.nowMs += HOUR_MS;
  }
  expect(await waiting(registry)).toBe(0);
  expect(await register.metrics()).toContain('attempts_total{outcome="given-up"} 1');
  const told = stand.lines.filter((line) => line.includes('given up'));
  expect(told).toHaveLength(1);
  expect(told[0]).toContain('ESOCKET');
  expect(stand.lines.join()).not.toContain('eve@');
});

test('a server that will never take a letter is not asked again; one whose password is wrong is', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const { box, port } = await postbox();
  const passwordFile = join(tmpdir(), `waygate-password-${process.pid}`);
  await writeFile(passwordFile, 'wrong');
  onTestFinished(() => rm(passwordFile));
  const locked = await stand.post(registry, port, { user: 'names', passwordFile });
  await stand.keep(registry);
  await locked.settled();
  expect([box.attempts, await waiting(registry)]).toEqual([0, 1]);
  expect(stand.lines.at(-1)).toMatch(/EAUTH 5\d\d/);
  const post = await stand.post(registry, port);
  // By the second, it serves nobody whom it does not know: the relay's address is not entered there yet.
  box.refusals.push(451, '554 5.7.1 Relay access denied', '550 5.1.1 Nobody has that name');
  for (const wanted of [1, 1, 0]) {
    stand.nowMs += HOUR_MS;
    await post.settled();
    expect(await waiting(registry)).toBe(wanted);
  }
  expect([...post.outcomes]).toEqual([
    ['deferred', 2],
    ['given-up', 1],
  ]);
});

test('a relay that stops while it takes letters sends them first, and leaves none to be sent twice', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const { box, port } = await postbox();
  const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow: Pick<Registry, 'read' | 'write' | 'perform'> = {
    read: (work) => registry.read(work),
    perform: (deed) => registry.perform(deed),
    write: async (work) => {
      asked.resolve();
      await gate.promise;
      return registry.write(work);
    },
  };
  const post = await stand.post(slow, port);
  await stand.keep(registry);
  post.look();
  await asked.promise;
  const closed = post.close();
  gate.resolve();
  await closed;
  expect([box.letters.length, await waiting(registry)]).toEqual([1, 0]);
});

test('an address that looks like two is one: nobody else gets a letter by it', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const { box, port } = await postbox();
  const post = await stand.post(registry, port);
  await stand.keep(registry, { ...LETTER, to: `${EVE}, ann@example.org` });
  await post.settled();
  // The server knows no such mailbox.
  expect([box.letters, await waiting(registry)]).toEqual([[], 0]);
});

test('what nobody sends, for no relay has a mail server any more, is thrown away after a week', async () => {
  const stand = new Stand();
  const registry = await (await makeWorld()).open();
  const { forgetMs } = LETTER_LIMITS;
  stand.nowMs = Date.now() - forgetMs + HOUR_MS;
  await stand.keep(registry);
  expect(await registry.perform(sweepLetters())).toBe(0);
  stand.nowMs -= HOUR_MS + 1;
  await stand.keep(registry);
  expect(await registry.perform(sweepLetters())).toBe(1);
  await registry.write((db) => db.deleteFrom('letters').execute());
  expect(await waiting(registry)).toBe(0);
});
