import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readChain, rootName } from '../../certs/chain.ts';
import { makeCsr } from '../../certs/csr.ts';
import {
  AcmeAuthority,
  type AcmeDirectory,
  type ChallengeType,
  makeAccountKey,
  type Order,
} from '../../certs/order.ts';
import { certificateNames } from '../world/certificate-names.ts';
import { ChallengeZone } from '../world/challenge-zone.ts';
import { PebbleServer } from '../world/pebble.ts';
import { requires } from '../world/requires.ts';

const NAMES = certificateNames('alice.vendor.dev', '*.alice.vendor.dev');
const EXTERNAL = {
  keyId: 'kid-1',
  hmacKey: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W',
};

const need = requires('pebble');
let zone: ChallengeZone;
let pebble: PebbleServer;
let authority: AcmeAuthority;

beforeAll(async () => {
  if (need.skip) return;
  zone = await ChallengeZone.open();
  pebble = await PebbleServer.start({
    dnsServer: zone.dnsServer,
    httpPort: zone.httpPort,
    nonceRejectPercent: 30,
    strict: true,
    alternateRoots: 1,
  });
  authority = await open({}, await makeAccountKey());
});

afterAll(async () => {
  authority?.close();
  await pebble?.[Symbol.asyncDispose]();
  await zone?.[Symbol.asyncDispose]();
});

function open(more: Partial<AcmeDirectory>, keyPem: string, url?: string): Promise<AcmeAuthority> {
  const { directoryUrl, caPem } = pebble;
  return AcmeAuthority.open({ name: 'pebble', url: directoryUrl, caPem, ...more }, { keyPem, url });
}

interface Wish {
  readonly order: Order;
  readonly keyPem: string;
  readonly urls: string[];
}

async function wish(names = NAMES, types: readonly ChallengeType[] = ['dns-01']): Promise<Wish> {
  const { csr, keyPem } = await makeCsr(names);
  const urls: string[] = [];
  const begun = async (url: string): Promise<void> => void urls.push(url);
  const { signal } = new AbortController();
  return { keyPem, urls, order: { names, csr, begun, prover: zone.prover(...types), signal } };
}

/** Ends an order at once, as a crash does, when something comes to pass. */
class Crash extends Error {}

describe.skipIf(need.skip)('an order at Pebble, which refuses 30 % of the nonces', () => {
  test('by dns-01 of a name and its wildcard: two values at one owner, and a chain that is trusted', async () => {
    const { order, keyPem, urls } = await wish();
    const { chainPem, url } = await authority.order(order);
    expect(urls).toEqual([url]);
    expect(readChain(chainPem).names).toEqual(NAMES);
    const [leaf, intermediate] = chainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const root = new X509Certificate(await pebble.rootPem());
    const above = new X509Certificate(intermediate ?? '');
    expect(above.checkIssued(root) && above.verify(root.publicKey)).toBe(true);
    expect(new X509Certificate(leaf ?? '').verify(above.publicKey)).toBe(true);
    expect(keyPem).toContain('PRIVATE KEY');
    expect(zone.mostTexts).toBe(2);
    expect(zone.texts.size).toBe(0);
    expect(zone.hidden).toBe(zone.shown);
  });

  test('by http-01', async () => {
    const names = certificateNames('app.example.org');
    const { order } = await wish(names, ['http-01', 'dns-01']);
    const { chainPem } = await authority.order(order);
    expect(readChain(chainPem).names).toEqual(names);
    expect(zone.files.size).toBe(0);
  });

  test('that nobody can prove is dead, says why, and leaves nothing behind', async () => {
    const names = certificateNames('app.example.org');
    const { order, urls } = await wish(names, ['http-01']);
    zone.before = ({ hostname, token }) => {
      zone.files.set(`${hostname} ${token}`, 'wrong');
    };
    const prover = {
      ...order.prover,
      show: async (...args: Parameters<Order['prover']['show']>) => {
        const hide = await order.prover.show(...args);
        zone.files.set(`${args[0].hostname} ${args[0].token}`, 'wrong');
        return hide;
      },
    };
    const failed = authority.order({ ...order, prover });
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_ORDER_INVALID',
      hostname: 'app.example.org',
      problem: expect.stringMatching(/^urn:ietf:params:acme:error:/),
      message: expect.stringContaining('pebble did not accept the proof for app.example.org: '),
    });
    zone.before = () => undefined;
    expect(zone.files.size).toBe(0);
    const again = authority.order({ ...order, url: urls[0] });
    await expect(again).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
  });

  test('is taken up again: pending, ready, and valid, with one certificate in the end', async () => {
    const { order, urls } = await wish();
    zone.before = () => {
      throw new Crash('a crash before the proof');
    };
    await expect(authority.order(order)).rejects.toMatchObject({ code: 'ERR_ORDER_PROOF' });
    zone.before = () => undefined;
    const [url] = urls;
    const stop = new AbortController();
    const prover = {
      ...order.prover,
      show: async (...args: Parameters<Order['prover']['show']>) => {
        const hide = await order.prover.show(...args);
        return async () => {
          await hide();
          // All is proven by now; the order has been ready ever since.
          stop.abort();
        };
      },
    };
    const ready = authority.order({ ...order, url, prover, signal: stop.signal });
    await expect(ready).rejects.toMatchObject({ code: 'ERR_ORDER_UNAVAILABLE' });
    const shown = zone.shown;
    const done = await authority.order({ ...order, url });
    expect(done.url).toBe(url);
    const again = await authority.order({ ...order, url });
    expect(again.chainPem).toBe(done.chainPem);
    expect(zone.shown).toBe(shown);
    expect(urls).toEqual([url]);
  });

  test('that is valid is no use with the key of another request', async () => {
    const { order, urls } = await wish();
    await authority.order(order);
    const { csr } = await makeCsr(NAMES);
    await expect(authority.order({ ...order, csr, url: urls[0] })).rejects.toMatchObject({
      code: 'ERR_ORDER_CHAIN',
      message: expect.stringContaining('The certificate is for another key than was asked for.'),
    });
    const names = certificateNames('mallory.vendor.dev');
    await expect(authority.order({ ...order, names, url: urls[0] })).rejects.toMatchObject({
      code: 'ERR_ORDER_INVALID',
    });
  });

  test('ten at once with one account', async () => {
    const wishes = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        wish(certificateNames(`n${i}.vendor.dev`, `*.n${i}.vendor.dev`)),
      ),
    );
    const done = await Promise.all(wishes.map(({ order }) => authority.order(order)));
    expect(new Set(done.map(({ chainPem }) => readChain(chainPem).serial)).size).toBe(10);
    expect(zone.texts.size).toBe(0);
  });

  test('leads to the root that is preferred', async () => {
    const usual = new X509Certificate(await pebble.rootPem(0)).subject.replace('CN=', '');
    const other = new X509Certificate(await pebble.rootPem(1)).subject.replace('CN=', '');
    for (const [preferredChain, root] of [
      [other, other],
      ['No such root', usual],
    ] as const) {
      const choosy = await open({ preferredChain }, await makeAccountKey());
      const { chainPem } = await choosy.order((await wish()).order);
      expect(rootName(chainPem)).toBe(root);
      choosy.close();
    }
  });
});

describe.skipIf(need.skip)('an account at Pebble', () => {
  test('is made once, found again by its key, and used by its URL', async () => {
    const keyPem = await makeAccountKey();
    const first = await open({ contact: 'certificates@vendor.dev' }, keyPem);
    const urls = await Promise.all([first.account(), first.account(), first.account()]);
    expect(new Set(urls).size).toBe(1);
    const second = await open({}, keyPem);
    expect(await second.account()).toBe(urls[0]);
    const third = await open({}, keyPem, urls[0]);
    await third.order((await wish()).order);
    for (const each of [first, second, third]) each.close();
  });

  test('is made anew when Pebble has forgotten it, and an order of the old one is dead', async () => {
    const gone = `${new URL(pebble.directoryUrl).origin}/my-account/424242`;
    const forgotten = await open({}, await makeAccountKey(), gone);
    const done = await Promise.all([
      forgotten.order((await wish()).order),
      forgotten.order((await wish()).order),
    ]);
    expect(done).toHaveLength(2);
    expect(await forgotten.account()).not.toBe(gone);
    const { order, urls } = await wish();
    await authority.order(order);
    const foreign = forgotten.order({ ...order, url: urls[0] });
    await expect(foreign).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
    forgotten.close();
  });

  test('is bound to an external one where Pebble wants that', async () => {
    await using bound = await PebbleServer.start({
      dnsServer: zone.dnsServer,
      externalAccounts: { [EXTERNAL.keyId]: EXTERNAL.hmacKey },
    });
    const directory = { name: 'bound', url: bound.directoryUrl, caPem: bound.caPem };
    const keyPem = await makeAccountKey();
    const nobody = await AcmeAuthority.open(directory, { keyPem });
    await expect(nobody.account()).rejects.toMatchObject({
      code: 'ERR_ORDER_REFUSED',
      problem: 'urn:ietf:params:acme:error:externalAccountRequired',
      message: expect.stringContaining('Set externalAccount to'),
    });
    const impostor = { ...EXTERNAL, hmacKey: Buffer.alloc(48).toString('base64url') };
    const wrong = await AcmeAuthority.open({ ...directory, externalAccount: impostor }, { keyPem });
    await expect(wrong.account()).rejects.toMatchObject({ code: 'ERR_ORDER_REFUSED' });
    const right = await AcmeAuthority.open({ ...directory, externalAccount: EXTERNAL }, { keyPem });
    const { chainPem } = await right.order((await wish()).order);
    expect(readChain(chainPem).names).toEqual(NAMES);
    for (const each of [nobody, wrong, right]) each.close();
  });
});
