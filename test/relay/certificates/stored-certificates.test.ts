import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { openStore } from '../../../certs/store.ts';
import {
  STORED_LIMITS,
  StoredCertificates,
  type StoredCertificatesOptions,
} from '../../../relay/certificates/stored-certificates.ts';
import { unwant } from '../../../relay/registry/certificates/work.ts';
import { hostileCa, hostname, IssuingStand, ZONE } from './issuing-stand.ts';

const ALICE = hostname(`alice.${ZONE}`);
const COPY = `sealed-${ALICE}.json`;
let stand: IssuingStand;

beforeEach(async () => {
  stand = await IssuingStand.start();
  await stand.want(ALICE);
  await stand.issuance([await hostileCa()]).settled();
});

async function source(change: Partial<StoredCertificatesOptions> = {}) {
  const { registry, envelope, log } = stand;
  const store = await openStore(join(stand.directory, 'copies'));
  return new StoredCertificates({ registry, envelope, store, log, ...change });
}

const away: StoredCertificatesOptions['registry'] = {
  read: () => Promise.reject(new Error('the registry is away')),
};

test('a certificate comes from the registry, and from its copy while that is away', async () => {
  const one = await source();
  const served = await one.load(ALICE);
  expect(served?.keyPem).toContain('PRIVATE KEY');
  await one.stop();
  expect(await (await source({ registry: away })).load(ALICE)).toEqual(served);
});

test('a registry that hangs keeps nobody waiting for what lies on the disk', async () => {
  const one = await source();
  const served = await one.load(ALICE);
  await one.stop();
  const hanging = { read: () => new Promise<never>(() => undefined) };
  const late = await source({ registry: hanging, limits: { readMs: 20 } });
  expect(await late.load(ALICE)).toEqual(served);
});

test('no key lies on the disk in the clear, and no copy is written twice', async () => {
  const one = await source();
  await one.load(ALICE);
  await one.stop();
  const folder = join(stand.directory, 'copies');
  expect(await readdir(folder)).toEqual([COPY]);
  const text = await readFile(join(folder, COPY), 'utf8');
  expect(text).not.toContain('PRIVATE');
  expect(text).toContain('waygate-sealed-1');
});

test('without a copy a registry that is away is an error, so that it is asked again', async () => {
  await expect((await source({ registry: away })).load(ALICE)).rejects.toThrow('is away');
});

test('a damaged copy is not served', async () => {
  const one = await source();
  await one.load(ALICE);
  await one.stop();
  const file = join(stand.directory, 'copies', COPY);
  for (const damaged of ['', '{}', 'null', (await readFile(file, 'utf8')).slice(0, -20)]) {
    await writeFile(file, damaged);
    await expect((await source({ registry: away })).load(ALICE)).rejects.toThrow('is away');
  }
  expect(stand.lines.join('')).toContain('damaged');
});

test('a key that was put into the row of another name is refused', async () => {
  const bob = hostname(`bob.${ZONE}`);
  const one = await source();
  await one.load(ALICE);
  await one.stop();
  const folder = join(stand.directory, 'copies');
  await writeFile(join(folder, `sealed-${bob}.json`), await readFile(join(folder, COPY)));
  await expect((await source({ registry: away })).load(bob)).rejects.toThrow('does not open');
});

test('what is not wanted any more is gone, with its copy', async () => {
  const one = await source();
  await one.load(ALICE);
  await stand.registry.write(unwant({ purpose: 'relay', subject: ALICE }));
  expect(await one.load(ALICE)).toBeUndefined();
  await one.stop();
  expect(await readdir(join(stand.directory, 'copies'))).toEqual([]);
});

test('a new certificate, whichever relay ordered it, is told of', async () => {
  const one = await source();
  const told: string[] = [];
  one.onChange((subject) => told.push(subject));
  await one.look();
  await stand.want(`bob.${ZONE}`, `carol.${ZONE}`);
  await stand.issuance([await hostileCa()]).settled();
  await one.look();
  expect(told.sort()).toEqual([`bob.${ZONE}`, `carol.${ZONE}`]);
  await one.look();
  expect(told).toHaveLength(2);
});

test('a full disk costs the copy and nothing else', async () => {
  const store = await openStore(join(stand.directory, 'copies'));
  const lines: string[] = [];
  const one = await source({
    store: { ...store, write: () => Promise.reject(new Error('ENOSPC')) },
    log: pino({}, { write: (line) => void lines.push(line) }),
  });
  expect(await one.load(ALICE)).toBeDefined();
  await one.stop();
  expect(lines.join('')).toContain('was not written');
  expect(STORED_LIMITS.writesMax).toBeGreaterThan(0);
});
