// Profiles and renewal windows (ARI), at a Pebble that has them where this machine has one, and at the
// hostile CA otherwise: the same tests, so that none is skipped.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readChain } from '../../certs/chain.ts';
import { makeCsr } from '../../certs/csr.ts';
import {
  AcmeAuthority,
  type AcmeDirectory,
  makeAccountKey,
  type Order,
} from '../../certs/order.ts';
import { renewAtMs } from '../../certs/renewal.ts';
import { HostileCa } from '../world/hostile-ca.ts';
import { NAMES } from '../world/order-stand.ts';
import { newerPebble, PebbleServer } from '../world/pebble.ts';

const DAY_MS = 86_400_000;
const PROFILES = { classic: 90 * 86_400, tlsserver: 45 * 86_400 };

/** What both have. */
interface NewerCa extends AsyncDisposable {
  readonly directoryUrl: string;
  readonly caPem: string;
  setRenewalWindow(certPem: string, window: { start: Date; end: Date }): Promise<void>;
}

/** The hostile CA, as the newer Pebble is in these two things. */
async function substitute(): Promise<NewerCa> {
  const ca = await HostileCa.start();
  const windows = new Map<string, object>();
  const start = new Date(Date.now() + 29 * DAY_MS);
  const usual = { suggestedWindow: { start, end: new Date(start.getTime() + 2 * DAY_MS) } };
  ca.profiles = { classic: '', tlsserver: '' };
  ca.validityMs = 45 * DAY_MS;
  ca.renewalInfo = (certId) => windows.get(certId) ?? usual;
  return {
    directoryUrl: ca.directoryUrl,
    caPem: ca.caPem,
    setRenewalWindow: async (certPem, window) => {
      windows.set(readChain(certPem).certId ?? '', { suggestedWindow: window });
    },
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}

const program = newerPebble();
let ca: NewerCa;
let authority: AcmeAuthority;
let keyPem: string;

beforeAll(async () => {
  const pebble = { program: program ?? '', alwaysValid: true, profiles: PROFILES } as const;
  ca = program === undefined ? await substitute() : await PebbleServer.start(pebble);
  keyPem = await makeAccountKey();
  authority = await open({ profile: 'tlsserver' });
});

afterAll(async () => {
  authority?.close();
  await ca?.[Symbol.asyncDispose]();
});

function open(more: Partial<AcmeDirectory> = {}): Promise<AcmeAuthority> {
  const { directoryUrl: url, caPem } = ca;
  return AcmeAuthority.open({ name: 'newer', url, caPem, ...more }, { keyPem });
}

async function order(replaces?: string): Promise<string> {
  const { csr } = await makeCsr(NAMES);
  const prover: Order['prover'] = {
    choose: () => ['dns-01'],
    show: async () => async () => undefined,
  };
  const begun = async (): Promise<void> => undefined;
  const { signal } = new AbortController();
  const done = await authority.order({ names: NAMES, csr, prover, begun, signal, replaces });
  return done.chainPem;
}

function lifeDays(chainPem: string): number {
  const { notBeforeMs, notAfterMs } = readChain(chainPem);
  return Math.round((notAfterMs - notBeforeMs) / DAY_MS);
}

describe('an authority with profiles and renewal windows', () => {
  test('gives the profile that was asked for', async () => {
    expect(lifeDays(await order())).toBe(45);
    expect(authority.features.profiles.toSorted()).toEqual(['classic', 'tlsserver']);
  });

  test('is not asked for a profile that it has not', async () => {
    const other = await open({ profile: 'no-such-profile' });
    const { csr } = await makeCsr(NAMES);
    const done = await other.order({
      names: NAMES,
      csr,
      prover: { choose: () => ['dns-01'], show: async () => async () => undefined },
      begun: async () => undefined,
      signal: new AbortController().signal,
    });
    expect(readChain(done.chainPem).names).toEqual(NAMES);
    other.close();
  });

  test('tells when to renew: usually, and at once after an incident', async () => {
    const chainPem = await order();
    const life = readChain(chainPem);
    const usual = await authority.window(chainPem);
    expect(authority.features.renewalInfo).toBe(true);
    expect(usual?.retryAfterMs).toBe(21_600_000);
    const usualDays = (renewAtMs(life, usual, 0.5) - life.notBeforeMs) / DAY_MS;
    expect(Math.round(usualDays)).toBe(30);

    const start = new Date(Date.now() - 2 * DAY_MS);
    const end = new Date(Date.now() - DAY_MS);
    await ca.setRenewalWindow(chainPem, { start, end });
    const incident = await authority.window(chainPem);
    expect(incident).toMatchObject({ startMs: start.getTime(), endMs: end.getTime() });
    // The certificate is young, so the earliest time for one counts: within the next two hours.
    expect(renewAtMs(life, incident, 0.5)).toBeLessThan(Date.now() + 2 * 3_600_000);
  });

  test('is told what a certificate replaces; replaced twice, it is a plain order', async () => {
    const { certId } = readChain(await order());
    const serials = [certId, certId].map(async () => readChain(await order(certId)).serial);
    expect(new Set(await Promise.all(serials)).size).toBe(2);
    expect(readChain(await order('bm8tc3VjaA.Y2VydA')).names).toEqual(NAMES);
  });

  test('bug: an authority that takes what it shall replace for a fault of its own', async () => {
    await using odd = await HostileCa.start();
    odd.reuse = true;
    odd.renewalInfo = () => undefined;
    const asked = await open({ url: odd.directoryUrl, caPem: odd.caPem });
    const { csr } = await makeCsr(NAMES);
    const wish = {
      ...{ names: NAMES, csr, replaces: 'bm8tc3VjaA.Y2VydA', begun: async () => undefined },
      prover: { choose: () => [], show: async () => async () => undefined },
      signal: new AbortController().signal,
    };
    odd.spoil('newOrder', { status: 500, problem: 'serverInternal' }, 1);
    expect(readChain((await asked.order(wish)).chainPem).names).toEqual(NAMES);
    const sent = odd.requests.filter(({ endpoint }) => endpoint === 'newOrder');
    expect(sent.map(({ payload }) => 'replaces' in Object(payload))).toEqual([true, false]);
    // One that is away altogether is asked again with it, later.
    odd.spoil('newOrder', { status: 503, problem: 'serverInternal' }, 1);
    await expect(asked.order(wish)).rejects.toMatchObject({ code: 'ERR_ORDER_UNAVAILABLE' });
    asked.close();
  });

  test('attack: a window that ends before it starts, or starts after the certificate is over', async () => {
    await using odd = await HostileCa.start();
    odd.reuse = true;
    const asked = await open({ url: odd.directoryUrl, caPem: odd.caPem });
    const chainPem = await order();
    const day = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString();
    const windows: readonly unknown[] = [
      { suggestedWindow: { start: day(3), end: day(2) } },
      { suggestedWindow: { start: day(200), end: day(201) } },
      { suggestedWindow: { start: day(-1), end: 'never' } },
      { suggestedWindow: [] },
      'soon',
      null,
    ];
    for (const window of windows) {
      odd.renewalInfo = () => window;
      expect(await asked.window(chainPem)).toBeUndefined();
    }
    odd.renewalInfo = () => ({ suggestedWindow: { start: day(-2), end: day(1) } });
    expect(await asked.window(chainPem)).toBeDefined();
    odd.spoil('renewalInfo', { status: 404 }, 1);
    expect(await asked.window(chainPem)).toBeUndefined();
    odd.spoil('renewalInfo', { status: 503 }, 1);
    await expect(asked.window(chainPem)).rejects.toMatchObject({ code: 'ERR_ORDER_UNAVAILABLE' });
    asked.close();
  });

  test('has neither where the directory names neither: nothing of them is sent', async () => {
    await using plain = await HostileCa.start();
    plain.reuse = true;
    const asked = await open({ url: plain.directoryUrl, caPem: plain.caPem, profile: 'tlsserver' });
    const { csr } = await makeCsr(NAMES);
    const { chainPem } = await asked.order({
      names: NAMES,
      csr,
      replaces: 'bm8tc3VjaA.Y2VydA',
      prover: { choose: () => [], show: async () => async () => undefined },
      begun: async () => undefined,
      signal: new AbortController().signal,
    });
    expect(await asked.window(chainPem)).toBeUndefined();
    const [sent] = plain.requests.filter(({ endpoint }) => endpoint === 'newOrder');
    expect(Object.keys(sent?.payload ?? {})).toEqual(['identifiers']);
    asked.close();
  });
});
