import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Envelope } from '../../../../certs/envelope.ts';
import { keepAccount, readAccount } from '../../../../relay/registry/certificates/ca-account.ts';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import { keepOrder } from '../../../../relay/registry/certificates/held-work.ts';
import { resealAll } from '../../../../relay/registry/certificates/reseal.ts';
import {
  aboutAccount,
  aboutCertificate,
} from '../../../../relay/registry/certificates/sealed-about.ts';
import { SEALED_TEXT_LIMITS } from '../../../../relay/registry/certificates/sealed-texts.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { emptyWorlds, issued, ledger, take, wanting, workRows } from './certificate-world.ts';

const DIRECTORY = 'https://ca.test/directory';
/** More than a batch, so that there is a middle. */
const COUNT = SEALED_TEXT_LIMITS.batch + 20;

async function keyFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waygate-envelope-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'envelope.key');
}

/** An account, an order that is under way, and so many certificates. */
async function sealedTexts(registry: Registry, envelope: Envelope, count: number): Promise<void> {
  const sealed = (subject: string) => envelope.seal(`key of ${subject}`, aboutCertificate(subject));
  await registry.write(
    keepAccount(DIRECTORY, { key: envelope.seal('account key', aboutAccount(DIRECTORY)) }),
  );
  for (let at = 0; at < count; at += 1) await wanting(registry, `n${at}.vendor.dev`);
  for (let jobs = await take(registry, { max: 100 }); jobs.length > 0; ) {
    for (const job of jobs) {
      const key = sealed(job.subject);
      await registry.write(finishWork(job, issued(job, `url of ${job.subject}`, { key })));
    }
    jobs = await take(registry, { max: 100 });
  }
  await wanting(registry, 'late.vendor.dev');
  const [late] = await take(registry);
  if (late === undefined) throw new Error('no job');
  const order = { ca: 'test-ca', url: 'u', key: sealed(late.subject), csr: undefined };
  await registry.write(keepOrder(late, order));
}

/** Opens every sealed text; returns under how many keys they are. */
async function keysInUse(registry: Registry, envelope: Envelope): Promise<Set<boolean>> {
  const texts = new Map<string, string>();
  for (const { subject, key } of await ledger(registry)) {
    if (key !== null) texts.set(aboutCertificate(subject), key);
  }
  for (const { subject, order_key: key } of await workRows(registry)) {
    if (key !== null) texts.set(aboutCertificate(subject), key);
  }
  const account = await registry.read(readAccount(DIRECTORY));
  texts.set(aboutAccount(DIRECTORY), account?.key ?? '');
  for (const [about, sealed] of texts) {
    expect(envelope.open(sealed, about)).toBe(
      about.replace(/^certificate /, 'key of ').replace(/^account .*/, 'account key'),
    );
  }
  return new Set([...texts.values()].map((sealed) => envelope.isCurrent(sealed)));
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);

  test('a rotation that dies in the middle is begun again, and does what is left', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    const file = await keyFile();
    await sealedTexts(registry, await Envelope.open(file), COUNT);
    const envelope = await Envelope.addKey(file);
    let transactions = 0;
    const dying: Registry['write'] = (work) => {
      transactions += 1;
      // The first is the order's, the second a batch of certificates.
      if (transactions > 2) throw new Error('killed');
      return registry.write(work);
    };
    await expect(resealAll(dying, envelope)).rejects.toThrow('killed');
    // What is half done opens, all of it.
    expect(await keysInUse(registry, envelope)).toEqual(new Set([true, false]));
    const again = await resealAll((work) => registry.write(work), await Envelope.open(file));
    expect(again).toEqual({ resealed: COUNT + 1 - SEALED_TEXT_LIMITS.batch, lost: [] });
    expect(await keysInUse(registry, envelope)).toEqual(new Set([true]));
    expect(await resealAll((work) => registry.write(work), envelope)).toEqual({
      ...{ resealed: 0, lost: [] },
    });
    // The old key seals nothing any more.
    const [newest = ''] = (await readFile(file, 'utf8')).match(/^[0-9a-f]{16} .*$/m) ?? [];
    await writeFile(file, `${newest}\n`);
    await keysInUse(registry, await Envelope.open(file));
  });

  test('keys that were swapped between two rows are told of, and left as they are', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    const file = await keyFile();
    await sealedTexts(registry, await Envelope.open(file), 3);
    await world.query(`update certificates
      set key = (select other.key from certificates as other where other.subject = 'n1.vendor.dev')
      where subject = 'n0.vendor.dev'`);
    const before = await ledger(registry);
    const envelope = await Envelope.addKey(file);
    const done = await resealAll((work) => registry.write(work), envelope);
    expect(done).toEqual({ resealed: 4, lost: ['certificate n0.vendor.dev'] });
    const keyOf = (rows: typeof before) => rows.find((row) => row.subject === 'n0.vendor.dev')?.key;
    expect(keyOf(await ledger(registry))).toBe(keyOf(before));
  });
});
