// Relays that order certificates of hostile authorities: one registry in a file, an envelope, and as many
// issuances as a test wants. Time is Date's, which tests may fake; what is proven is not looked at.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished } from 'vitest';
import { Envelope } from '../../../certs/envelope.ts';
import type { Prover } from '../../../certs/order.ts';
import type { OrderLimits } from '../../../certs/order-wait.ts';
import { openStore } from '../../../certs/store.ts';
import { type Hostname, parseHostname } from '../../../dns/name.ts';
import { CertificateAuthority } from '../../../relay/certificates/certificate-authority.ts';
import { Issuance, type IssuanceOptions } from '../../../relay/certificates/issuance.ts';
import { StoredCertificates } from '../../../relay/certificates/stored-certificates.ts';
import { want } from '../../../relay/registry/certificates/work.ts';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import type { RegistryTables } from '../../../relay/registry/schema.ts';
import { HostileCa } from '../../world/hostile-ca.ts';

export const ZONE = hostname('vendor.dev');
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

export function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

/** Shows nothing: the hostile authority believes everybody. */
export const TRUSTED: Prover = {
  choose: () => ['dns-01'],
  show: () => Promise.resolve(() => Promise.resolve()),
};

type WorkRow = RegistryTables['certificate_work'];

export class IssuingStand {
  readonly directory: string;
  readonly registry: Registry;
  readonly envelope: Envelope;
  readonly lines: string[] = [];
  /** Of the last issuance. */
  authorities: readonly CertificateAuthority[] = [];
  readonly log = pino({}, { write: (line) => void this.lines.push(line) });

  private constructor(directory: string, registry: Registry, envelope: Envelope) {
    this.directory = directory;
    this.registry = registry;
    this.envelope = envelope;
  }

  static async start(): Promise<IssuingStand> {
    const directory = await mkdtemp(join(tmpdir(), 'waygate-issuing-'));
    const registry = await openAt(directory);
    const envelope = await Envelope.open(join(directory, 'envelope.key'));
    onTestFinished(async () => {
      await registry.close();
      await rm(directory, { recursive: true });
    });
    return new IssuingStand(directory, registry, envelope);
  }

  /** The same registry, as another relay has it. */
  anotherRegistry(): Promise<Registry> {
    return openAt(this.directory);
  }

  /** A relay; it stops with the test. */
  issuance(
    cas: readonly Pick<HostileCa, 'directoryUrl' | 'caPem'>[],
    change: Partial<IssuanceOptions> & {
      readonly orders?: Partial<OrderLimits>;
      readonly certificatesPerWeek?: number;
    } = {},
  ): Issuance {
    const { orders: limits, certificatesPerWeek = 50, ...options } = change;
    const { registry = this.registry, envelope = this.envelope } = change;
    const budget = { ordersPer3Hours: 300, certificatesPerWeek };
    const authorities = cas.map((ca, at) => {
      const directory = { name: `ca-${at}`, url: ca.directoryUrl, caPem: ca.caPem };
      return new CertificateAuthority({
        ...{ directory, budget, registry, envelope, now: Date.now },
        limits: { requestMs: 20_000, firstPauseMs: 5, longestPauseMs: 20, ...limits },
      });
    });
    this.authorities = authorities;
    const issuance = new Issuance({
      ...{ registry, envelope, authorities, zone: ZONE, log: this.log },
      ...{ now: Date.now, random: () => 0.5, makeProver: () => TRUSTED },
      holder: `relay ${Math.random()}`,
      ...options,
    });
    onTestFinished(() => issuance.stop());
    return issuance;
  }

  async stored(envelope: Envelope = this.envelope): Promise<StoredCertificates> {
    const { registry, log } = this;
    const store = await openStore(join(this.directory, 'copies'));
    const stored = new StoredCertificates({ registry, envelope, store, log });
    onTestFinished(() => stored.stop());
    return stored;
  }

  async want(...subjects: readonly string[]): Promise<void> {
    for (const subject of subjects.map(hostname)) {
      const names = [subject, `*.${subject}`] as const;
      await this.registry.write(want({ purpose: 'relay', subject, names, nowMs: Date.now() }));
    }
  }

  async wantDomain(domain: Hostname): Promise<void> {
    const wanted = { purpose: 'domain', subject: domain, names: [domain] } as const;
    await this.registry.write(want({ ...wanted, nowMs: Date.now() }));
  }

  work(): Promise<WorkRow[]> {
    return this.registry.read((db) =>
      db.selectFrom('certificate_work').selectAll().orderBy('subject').execute(),
    );
  }

  async workOf(subject: string): Promise<WorkRow> {
    const row = (await this.work()).find((each) => each.subject === subject);
    if (row === undefined) throw new Error(`${subject} is not wanted`);
    return row;
  }

  ledger(): Promise<RegistryTables['certificates'][]> {
    return this.registry.read((db) =>
      db.selectFrom('certificates').selectAll().orderBy('id').execute(),
    ) as Promise<never>;
  }

  spent(): Promise<Record<string, unknown>[]> {
    return this.registry.read((db) => db.selectFrom('certificate_orders').selectAll().execute());
  }

  /** The subjects of valid certificates. */
  async served(): Promise<readonly string[]> {
    const rows = await this.ledger();
    return rows.filter((row) => row.replaced_at === null).map(({ subject }) => subject);
  }

  /** Nothing that was logged, or noted for people, has a private key or an account's. */
  async expectNoSecrets(): Promise<void> {
    const texts = [...this.lines, ...(await this.work()).map(({ last_error }) => last_error ?? '')];
    const text = texts.join('\n');
    expect(text).not.toContain('PRIVATE KEY');
    expect(text).not.toContain('waygate-sealed');
  }
}

export async function hostileCa(): Promise<HostileCa> {
  const ca = await HostileCa.start();
  onTestFinished(() => ca[Symbol.asyncDispose]());
  return ca;
}

function openAt(directory: string): Promise<Registry> {
  return openRegistry({
    database: { kind: 'sqlite', file: join(directory, 'registry.sqlite') },
    log: pino({ enabled: false }),
  });
}
