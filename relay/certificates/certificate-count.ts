// The figures of certificates that lie in the registry, read when somebody asks for them and no more often
// than they change. While the registry is away, the last ones stay.
import type { Hostname } from '../../dns/name.ts';
import {
  certificateFigures,
  type FiguresByPurpose,
} from '../registry/certificates/certificate-figures.ts';
import {
  type RevocationFigures,
  revocationFigures,
} from '../registry/certificates/revocation-listing.ts';
import { spentBudget } from '../registry/certificates/spent-budget.ts';
import type { Registry } from '../registry/registry.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

/** Several that scrape share a reading: of a million names it takes a second, in many parts. */
const READ_EVERY_MS = 60_000;

export interface BudgetLeft {
  readonly authority: string;
  readonly orders: number;
  readonly certificates: number;
}

export class CertificateCount {
  figures: FiguresByPurpose | undefined;
  revocations: RevocationFigures | undefined;
  budgets: readonly BudgetLeft[] = [];
  readonly #parts: CertificateCountParts;
  #readAtMs = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(parts: CertificateCountParts) {
    this.#parts = parts;
  }

  get nowMs(): number {
    return this.#parts.now();
  }

  /** Never rejects. */
  refresh(): Promise<void> {
    if (performance.now() < this.#readAtMs + READ_EVERY_MS) return Promise.resolve();
    this.#reading ??= this.#read()
      .catch(() => undefined)
      .finally(() => {
        this.#reading = undefined;
        this.#readAtMs = performance.now();
      });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { registry, authorities, zone, now } = this.#parts;
    this.figures = await certificateFigures((work) => registry.read(work), now());
    this.revocations = await registry.read(revocationFigures());
    const budgets: BudgetLeft[] = [];
    for (const { name, budget } of authorities) {
      const spent = await registry.read(spentBudget({ ca: name, domain: zone, nowMs: now() }));
      budgets.push({
        authority: name,
        orders: Math.max(0, budget.ordersPer3Hours - spent.orders),
        certificates: Math.max(0, budget.certificatesPerWeek - spent.certificates),
      });
    }
    this.budgets = budgets;
  }
}

export interface CertificateCountParts {
  readonly registry: Pick<Registry, 'read'>;
  readonly authorities: readonly CertificateAuthority[];
  readonly zone: Hostname;
  readonly now: () => number;
}
