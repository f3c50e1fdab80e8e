// An authority as the relay sees it: its directory, the one account that all relays share there, what may
// be asked of it, and whether it may be asked now. The account is made by whoever needs it first.
import type { Envelope } from '../../certs/envelope.ts';
import { AcmeAuthority, type AcmeDirectory, makeAccountKey } from '../../certs/order.ts';
import type { OrderLimits } from '../../certs/order-wait.ts';
import type { AuthorityBudget } from '../certificates-config.ts';
import type { CaaIssuer } from '../domains/caa.ts';
import { keepAccount, readAccount } from '../registry/certificates/ca-account.ts';
import { aboutAccount } from '../registry/certificates/sealed-about.ts';
import type { Registry } from '../registry/registry.ts';
import { AuthorityRest } from './authority-rest.ts';

export interface AuthorityParts {
  readonly directory: AcmeDirectory;
  readonly budget: AuthorityBudget;
  readonly registry: Pick<Registry, 'read' | 'write'>;
  readonly envelope: Pick<Envelope, 'seal' | 'open'>;
  readonly now: () => number;
  /** For tests. */
  readonly limits?: Partial<OrderLimits> | undefined;
}

export class CertificateAuthority {
  readonly name: string;
  readonly budget: AuthorityBudget;
  readonly rest: AuthorityRest;
  readonly #parts: AuthorityParts;
  #opening: Promise<AcmeAuthority> | undefined;
  #caaIssuer: CaaIssuer = { identities: [], account: undefined };

  constructor(parts: AuthorityParts) {
    this.#parts = parts;
    this.name = parts.directory.name;
    this.budget = parts.budget;
    this.rest = new AuthorityRest(parts.now);
  }

  /** How CAA records name it, once it has told, and our account, once there is one. */
  get caaIssuer(): CaaIssuer {
    return this.#caaIssuer;
  }

  /** With its account. Rejects when the authority or the registry is away; the next call tries again. */
  open(): Promise<AcmeAuthority> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** Ends idle connections. */
  close(): void {
    this.#opening?.then(
      (authority) => authority.close(),
      () => undefined,
    );
  }

  async #open(): Promise<AcmeAuthority> {
    const { directory, registry, envelope, limits } = this.#parts;
    const about = aboutAccount(directory.url);
    let row = await registry.read(readAccount(directory.url));
    if (row === undefined) {
      const key = envelope.seal(await makeAccountKey(), about);
      // Of several relays that start at once, the account of the first is that of all.
      row = await registry.write(keepAccount(directory.url, { key }));
    }
    const { key, url: known } = row;
    this.#caaIssuer = { ...this.#caaIssuer, account: known };
    const keyPem = envelope.open(key, about);
    const authority = await AcmeAuthority.open(directory, { keyPem, url: known }, limits);
    await authority.meet();
    const url = await authority.account();
    if (url !== known) await registry.write(keepAccount(directory.url, { key, url }));
    this.#caaIssuer = { identities: authority.features.caaIdentities, account: url };
    return authority;
  }
}
