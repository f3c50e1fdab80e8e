// What the registry needs of a database, whichever it is. Transactions run again from the start when
// another process is in the way; every fault of the database is a RegistryError (registry-error.ts).
import type { Kysely } from 'kysely';
import type { RegistryTables } from './schema.ts';

/** Which database: a file of this machine, or a server that several relays share. */
export type DatabasePlace =
  | { readonly kind: 'sqlite'; readonly file: string }
  /** The URL holds a password: it is in no log and no error. */
  | { readonly kind: 'postgres'; readonly url: string };

/** Queries of one transaction. They may run again from the start when another process is in the way. */
export type RegistryWork<Value> = (transaction: Kysely<RegistryTables>) => Promise<Value>;

export type RegistryWrite = <Value>(work: RegistryWork<Value>, waitMs?: number) => Promise<Value>;

export interface RegistryDatabase {
  /** How messages name it: `registry /var/lib/waygate/registry.sqlite`. */
  readonly title: string;
  /** How often to look for the changes of other processes. */
  readonly pollMs: number;
  /** A transaction of its own kind: deeds of all processes run one after the other. */
  perform<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value>;
  /** A transaction that writes. Waits for other processes, and tries again, until the deadline. */
  write<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value>;
  /** A transaction that sees one state of all tables. */
  read<Value>(work: RegistryWork<Value>): Promise<Value>;
  /** Whether the version tells of every change, also of one that is no deed. */
  readonly tellsAll: boolean;
  /** A text that is different when another connection, of this process or another, did a deed. */
  version(): Promise<string>;
  /** Writes something that changes nothing, and thereby tells whether that is possible again. */
  probe(): Promise<void>;
  /** True when it connected anew, to what may be another database, so that all must be read again. */
  renew(fault: boolean): Promise<boolean>;
  /** Set by who uses it: called as soon as another process did a deed, if the database tells. */
  noticed: (() => void) | undefined;
  close(): Promise<void>;
}
