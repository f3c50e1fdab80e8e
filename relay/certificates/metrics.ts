// What the relay tells Prometheus of certificates: how long they last, what fails, and what is left of the
// budgets. All but the contexts and the relay's own orders is the same at every relay of a registry.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { CertificateCount } from './certificate-count.ts';

export interface CertificateMetricsParts {
  readonly contexts: () => number;
  /** Absent: the certificates are those of the local authority. */
  readonly acme?:
    | {
        readonly count: CertificateCount;
        readonly authorities: readonly CertificateAuthority[];
        readonly issuance: {
          readonly running: number;
          readonly endings: ReadonlyMap<string, number>;
        };
      }
    | undefined;
}

type Acme = NonNullable<CertificateMetricsParts['acme']>;

export function exposeCertificates(parts: CertificateMetricsParts, registers: Registry[]): void {
  const { contexts, acme } = parts;
  gauge(registers, 'contexts', 'Contexts of TLS in memory, 42 KB each.', contexts);
  if (acme === undefined) return;
  exposeStock(acme, registers);
  exposeOrders(acme, registers);
}

function exposeStock({ count }: Acme, registers: Registry[]): void {
  const figure = (name: string, help: string, read: () => number | undefined) =>
    gauge(registers, name, help, async () => {
      await count.refresh();
      return read() ?? 0;
    });
  figure('present', 'Certificates that are there.', () => count.figures?.certificates);
  figure('missing', 'Names whose first certificate is not there.', () => count.figures?.without);
  figure('failing', 'Names whose last order failed.', () => count.figures?.failing);
  figure(
    'oldest_failure_seconds',
    'Since when the name that was tried longest ago fails; 0: none does.',
    () => ageSeconds(count.figures?.oldestFailureMs, count.nowMs),
  );
  figure('first_end_seconds', 'Until the first certificate ends; below 0: it has.', () => {
    const endMs = count.figures?.firstEndMs;
    return endMs === undefined ? 0 : (endMs - count.nowMs) / 1_000;
  });
  new Gauge({
    name: `${PREFIX}days_left`,
    help: 'Certificates that end within so many days, those that have ended included.',
    labelNames: ['within'],
    registers,
    async collect() {
      await count.refresh();
      for (const { days, certificates } of count.figures?.daysLeft ?? []) {
        this.set({ within: String(days) }, certificates);
      }
    },
  });
}

function exposeOrders({ count, authorities, issuance }: Acme, registers: Registry[]): void {
  gauge(registers, 'orders_running', 'Orders under way at this relay.', () => issuance.running);
  new Counter({
    name: `${PREFIX}orders_total`,
    help: 'Orders of this relay since its start, by how they ended.',
    labelNames: ['authority', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const [key, ended] of issuance.endings) {
        const [authority = '', outcome = ''] = key.split(' ');
        this.inc({ authority, outcome }, ended);
      }
    },
  });
  new Gauge({
    name: `${PREFIX}budget_left`,
    help: 'What may still be ordered: of three hours, and of a week below the zone.',
    labelNames: ['authority', 'period'],
    registers,
    async collect() {
      await count.refresh();
      for (const { authority, orders, certificates } of count.budgets) {
        this.set({ authority, period: '3h' }, orders);
        this.set({ authority, period: 'week' }, certificates);
      }
    },
  });
  new Gauge({
    name: `${PREFIX}authority_resting`,
    help: '1 while an authority is left alone: it is away, or has said that it is too much.',
    labelNames: ['authority', 'why'],
    registers,
    collect() {
      this.reset();
      for (const { name, rest } of authorities) {
        for (const why of ['away', 'limited']) {
          this.set({ authority: name, why }, rest.why === why ? 1 : 0);
        }
      }
    },
  });
}

const PREFIX = 'waygate_certificate_';

function ageSeconds(sinceMs: number | undefined, nowMs: number): number {
  return sinceMs === undefined ? 0 : Math.max(0, nowMs - sinceMs) / 1_000;
}

function gauge(
  registers: Registry[],
  name: string,
  help: string,
  read: () => number | Promise<number>,
): void {
  new Gauge({
    name: PREFIX + name,
    help,
    registers,
    async collect() {
      this.set(await read());
    },
  });
}
