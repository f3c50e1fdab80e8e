// An authority that is the hostile CA, and orders for one device there: what is shown, what was begun.
import { expect } from 'vitest';
import { makeCsr } from '../../certs/csr.ts';
import {
  AcmeAuthority,
  type AcmeDirectory,
  makeAccountKey,
  type Order,
  type Proof,
} from '../../certs/order.ts';
import type { OrderLimits } from '../../certs/order-wait.ts';
import { certificateNames } from './certificate-names.ts';
import { HostileCa } from './hostile-ca.ts';

export const NAMES = certificateNames('alice.vendor.dev', '*.alice.vendor.dev');
export const ALICE = 'alice.vendor.dev';

/** Enough for a loaded machine, with pauses that nobody has to wait for. */
const PATIENT: Partial<OrderLimits> = {
  requestMs: 10_000,
  showMs: 1_000,
  hideMs: 200,
  decisionMs: 10_000,
  firstPauseMs: 2,
  longestPauseMs: 20,
};

/** For an authority that never answers, or never decides. */
export const IMPATIENT: Partial<OrderLimits> = { ...PATIENT, requestMs: 400, decisionMs: 400 };

export class OrderStand implements AsyncDisposable {
  readonly ca: HostileCa;
  /** What is shown now. */
  readonly shown = new Set<Proof>();
  everShown = 0;
  /** Of the orders that were begun, in turn. */
  readonly urls: string[] = [];
  readonly #keyPem: string;
  readonly #csr: Buffer;
  readonly #opened: AcmeAuthority[] = [];

  private constructor(ca: HostileCa, keyPem: string, csr: Buffer) {
    this.ca = ca;
    this.#keyPem = keyPem;
    this.#csr = csr;
  }

  static async make(limits = PATIENT): Promise<OrderStand> {
    const [ca, keyPem, { csr }] = await Promise.all([
      HostileCa.start(),
      makeAccountKey(),
      makeCsr(NAMES),
    ]);
    const stand = new OrderStand(ca, keyPem, csr);
    await stand.open({}, limits);
    return stand;
  }

  async open(more: Partial<AcmeDirectory> = {}, limits = PATIENT): Promise<AcmeAuthority> {
    const { directoryUrl: url, caPem } = this.ca;
    const directory = { name: 'hostile', url, caPem, ...more };
    const opened = await AcmeAuthority.open(directory, { keyPem: this.#keyPem }, limits);
    this.#opened.push(opened);
    return opened;
  }

  get authority(): AcmeAuthority {
    const [authority] = this.#opened;
    if (authority === undefined) throw new Error('no authority was opened');
    return authority;
  }

  wish(more: Partial<Order> = {}): Order {
    return {
      names: NAMES,
      csr: this.#csr,
      begun: async (url) => void this.urls.push(url),
      prover: {
        choose: () => ['dns-01'],
        show: async (proof) => {
          this.everShown += 1;
          this.shown.add(proof);
          return async () => void this.shown.delete(proof);
        },
      },
      signal: new AbortController().signal,
      ...more,
    };
  }

  order(more: Partial<Order> = {}): Promise<{ chainPem: string; url: string }> {
    return this.authority.order(this.wish(more));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#opened) each.close();
    await this.ca[Symbol.asyncDispose]();
    // Whatever happened, no proof is left where it was shown.
    expect(this.shown.size).toBe(0);
  }
}
