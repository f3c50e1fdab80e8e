// What the relay tells Prometheus of certificates: how long they last, what fails, what is to be revoked,
// and what is left of the budgets. All but the contexts and the relay's own orders is the same at every
// relay of a registry.
import { Counter, Gauge, type Registry } from 'prom-client';
import { gaugesOf } from '../protocol/metrics.ts';
import {
  CERTIFICATE_PURPOSES,
  type CertificateFigures,
} from '../registry/certificates/certificate-figures.ts';
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
  const gauge = gaugesOf(registers, PREFIX);
  gauge('contexts', 'Contexts of TLS in memory, 42 KB each.', contexts);
  if (acme === undefined) return;
  exposeStock(acme, registers);
  exposeRevocations(acme, registers);
  exposeOrders(acme, registers);
}

function exposeStock({ count }: Acme, registers: Registry[]): void {
  /** `undefined`: there is nothing to tell of. */
  const figure = (
    name: string,
    help: string,
    read: (figures: CertificateFigures) => number | undefined,
  ) =>
    new Gauge({
      name: PREFIX + name,
      help,
      labelNames: ['purpose'],
      registers,
      async collect() {
        await count.refresh();
        this.reset();
        for (const purpose of CERTIFICATE_PURPOSES) {
          const value = count.figures && read(count.figures[purpose]);
          if (value !== undefined) this.set({ purpose }, value);
        }
      },
    });
  figure('present', 'Certificates that are there.', ({ certificates }) => certificates);
  figure('missing', 'Names whose first certificate is not there.', ({ without }) => without);
  figure('failing', 'Names whose last order failed.', ({ failing }) => failing);
  figure(
    'oldest_failure_seconds',
    'Since when the name that was tried longest ago fails; 0: none does.',
    ({ oldestFailureMs }) => ageSeconds(oldestFailureMs, count.nowMs),
  );
  figure(
    'first_end_seconds',
    'Until the first certificate ends; below 0: it has.',
    ({ firstEndMs }) => (firstEndMs === undefined ? undefined : (firstEndMs - count.nowMs) / 1_000),
  );
  new Gauge({
    name: `${PREFIX}days_left`,
    help: 'Certificates that end within so many days, those that have ended included.',
    labelNames: ['purpose', 'within'],
    registers,
    async collect() {
      await count.refresh();
      for (const purpose of CERTIFICATE_PURPOSES) {
        for (const { days, certificates } of count.figures?.[purpose].daysLeft ?? []) {
          this.set({ purpose, within: String(days) }, certificates);
        }
      }
    },
  });
}

function exposeRevocations({ count }: Acme, registers: Registry[]): void {
  const gauge = gaugesOf(registers, PREFIX);
  gauge(
    'revocations_waiting',
    'Certificates of devices that are to be revoked, and are not yet.',
    async () => {
      await count.refresh();
      return count.revocations?.waiting;
    },
  );
  gauge(
    'oldest_revocation_failure_seconds',
    'Since when the one is wanted that an authority does not revoke; 0: there is none.',
    async () => {
      await count.refresh();
      return count.revocations && ageSeconds(count.revocations.oldestFailureMs, count.nowMs);
    },
  );
}

function exposeOrders({ count, authorities, issuance }: Acme, registers: Registry[]): void {
  gaugesOf(registers, PREFIX)(
    'orders_running',
    'Orders under way at this relay.',
    () => issuance.running,
  );
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
