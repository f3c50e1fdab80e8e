// The registry's tables as queries see them. Times are milliseconds since 1970 in UTC; keys, codes and
// tokens that somebody else must not use are stored only as hashes (secret.ts). The schema and all
// queries keep to what SQLite and PostgreSQL share.
import type { Generated } from 'kysely';

export interface RegistryTables {
  /** Device keys that were ever admitted, barred ones too. */
  devices: {
    thumbprint: string;
    /** The text form of key.ts. */
    public_key: string;
    epoch: number;
    enrolled_at: number;
    last_seen_at: number | null;
    revoked_at: number | null;
    /** What the device called itself in its last hello: `waygate/1.2.3`. */
    software: string | null;
    /** JSON array of its addresses on its LAN, as it told them; null: none. */
    lan_addresses: string | null;
  };
  /** One row per name that is not free, whatever state it is in: the key makes names unique. */
  names: {
    name: string;
    state: NameState;
    /** `held` and `former`: whose. `quarantined`, and `ordered` out of that: who had it last, or null. */
    thumbprint: string | null;
    /** Null: enrolled by the operator for nobody in particular. */
    owner_id: string | null;
    /** What it looks like to a hasty reader (skeleton.ts). */
    skeleton: string;
    claimed_at: number;
    /** `former`: the name that took its place. */
    successor: string | null;
    /** When the state ends: of `former` and `quarantined`, and `ordered` when the order lapses. */
    until: number | null;
  };
  owners: { id: string; email: string | null; created_at: number };
  /** How an owner proves who he is. For mail the issuer is `mailto` and the subject the address. */
  identities: { issuer: string; subject: string; owner_id: string; added_at: number };
  /** Codes that bind a future device to a name at its first boot. */
  orders: {
    id: string;
    code_hash: string;
    name: string;
    domain: string | null;
    serial: string | null;
    owner_id: string | null;
    ordered_at: number;
    expires_at: number;
    redeemed_at: number | null;
    redeemed_by: string | null;
  };
  /** Devices that show a short code and wait for a person to confirm it. */
  claims: {
    id: string;
    code_hash: string;
    thumbprint: string;
    public_key: string;
    wanted_name: string | null;
    software: string | null;
    /** Where the device asked from, for the person to compare. */
    address: string;
    /** The network of that address (attempts.ts): so many may wait from one. */
    network: string;
    opened_at: number;
    expires_at: number;
    state: ClaimState;
    /** The name that it got. */
    name: string | null;
  };
  /** Re-bindings of a name to a new key that wait for their delay to pass. One per name at a time. */
  recoveries: {
    id: string;
    name: string;
    old_thumbprint: string;
    new_thumbprint: string;
    new_public_key: string;
    owner_id: string;
    begun_at: number;
    due_at: number;
    state: RecoveryState;
    ended_at: number | null;
    ended_by: string | null;
  };
  /** Offers of a name to another owner. One open offer per name at a time. */
  transfers: {
    id: string;
    code_hash: string;
    name: string;
    from_owner_id: string;
    to_email: string;
    offered_at: number;
    expires_at: number;
    state: TransferState;
    ended_at: number | null;
  };
  /** Single-use secrets of the portal: mail links, sessions, OIDC round trips. */
  portal_tokens: {
    token_hash: string;
    kind: 'mail-link' | 'session' | 'oidc';
    /** Whose session; of a mail link the address, in lower case; of an OIDC round trip its JSON. */
    subject: string;
    issued_at: number;
    expires_at: number;
  };
  /** Wrong guesses, by who guesses at what: `claim owner:17`, `order 192.0.2.0/24`. */
  attempts: { subject: string; failures: number; since: number };
  domains: {
    domain: string;
    name: string;
    workspace: string | null;
    /** The random label of its CNAME target, `<target>.to.<zone>`. */
    target: string;
    /** The unguessable value of its TXT record. */
    proof: string;
    state: 'pending' | 'proven' | 'suspended';
    added_at: number;
  };
  /** The vendor's relays. `beat` grows while a relay lives; who watches decides when it is dead. */
  relays: { id: string; addresses: string; beat: number; alive: number };
  /** TXT values below `_acme-challenge`, each set and taken away by its own token. */
  challenges: {
    token_hash: string;
    /** Relative to the zone: `_acme-challenge.alice`. */
    owner: string;
    /** Whose text in `zone_labels` it is part of: `alice`. */
    label: string;
    value: string;
    set_at: number;
    expires_at: number;
  };
  /** Every change of who owns what and who may connect; rows are only ever added. */
  history: {
    id: Generated<number>;
    at: number;
    actor: string;
    what: HistoryWord;
    name: string | null;
    thumbprint: string | null;
    detail: string | null;
  };
  /** One row: the serial of the zone, and what makes the apex (zone-text.ts). */
  zone: { id: number; serial: number; apex: string };
  /** What is published below each first label; an empty text is a plain device. */
  zone_labels: { label: string; records: string };
  /** What each serial changed; null: nothing is published there. Old rows are thrown away. */
  zone_journal: { serial: number; label: string; before: string | null; after: string | null };
}

/**
 * ordered: reserved by an order, no device yet · held: bound to a device key · former: renamed, answers
 * with a redirect, still its owner's · quarantined: nobody's, until no certificate for it can be valid.
 */
export type NameState = 'ordered' | 'held' | 'former' | 'quarantined';
export type ClaimState = 'open' | 'approved' | 'recovering' | 'denied';
export type RecoveryState = 'waiting' | 'done' | 'vetoed' | 'withdrawn';
export type TransferState = 'offered' | 'accepted' | 'withdrawn';

export type HistoryWord =
  | 'ordered'
  | 'order-lapsed'
  | 'enrolled'
  | 'replaced'
  | 'renamed'
  | 'rename-lapsed'
  | 'released'
  | 'freed'
  | 'transfer-offered'
  | 'transfer-withdrawn'
  | 'transferred'
  | 'recovery-begun'
  | 'recovery-vetoed'
  | 'recovery-withdrawn'
  | 'recovered'
  | 'key-rotated'
  | 'revoked'
  | 'domain-added'
  | 'domain-removed'
  | 'lan-changed';
