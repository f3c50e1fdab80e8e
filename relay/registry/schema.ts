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
  /** Own domains. Several names may want one; only one of them has proven it at a time. */
  domains: {
    domain: string;
    name: string;
    /** Null: the whole device; with `wildcard` its workspaces lie below the domain. */
    workspace: string | null;
    /** 1: everything one label below the domain belongs to it. */
    wildcard: number;
    /** The random label of its CNAME target, `<target>.to.<zone>`. */
    target: string;
    /** The unguessable value of its TXT record. */
    proof: string;
    state: DomainState;
    added_at: number;
    proven_at: number | null;
    /** When it was looked at last, and when it is to be looked at again. */
    checked_at: number | null;
    check_due_at: number;
    /** Since when a domain that was proven has failed its checks. */
    failing_since: number | null;
    /** What the last look found, as JSON (relay/domains/report.ts). */
    finding: string | null;
  };
  /** A certificate that is wanted, and how far its order is. */
  certificate_work: {
    purpose: CertificatePurpose;
    /** The shortest of its names: `alice.vendor.dev`, `app.example.org`. */
    subject: string;
    /** `device`: whose key signs for it; otherwise empty. */
    thumbprint: string;
    /** JSON array of names. */
    names: string;
    /** `device`: what it has sent, base64 of DER. */
    csr: string | null;
    /** Lower is sooner: -2 the zone, -1 asked for by a person, 0 there is none, else when it ends. */
    urgency: number;
    due_at: number;
    attempts: number;
    last_error: string | null;
    last_error_at: number | null;
    /** Which authority is tried, by its place in the configuration. */
    authority: number;
    /** The order that is under way, to be taken up by whoever has the lease next. */
    order_url: string | null;
    order_ca: string | null;
    /** Sealed (certs/envelope.ts). */
    order_key: string | null;
    order_csr: string | null;
    leased_by: string | null;
    leased_until: number | null;
    /** Grows with every lease: who has an older one writes nothing. */
    fence: number;
    /** The present certificate. */
    certificate_id: number | null;
    /** `device`: when its device was last called to come with a new key for the present one. */
    called_at: number | null;
  };
  /** Every certificate that was ever issued; rows are only added, keys are wiped when replaced. */
  certificates: {
    id: Generated<number>;
    purpose: CertificatePurpose;
    subject: string;
    thumbprint: string;
    names: string;
    ca: string;
    /** Of the order that made it: the same order is never stored twice. */
    order_url: string;
    serial: string;
    /** Sealed; null: the device has it, or it was wiped. */
    key: string | null;
    chain: string;
    not_before: number;
    not_after: number;
    issued_at: number;
    replaced_at: number | null;
    /** When the authority wants it renewed (RFC 9773), and when to ask again. */
    window_start: number | null;
    window_end: number | null;
    window_due_at: number | null;
  };
  /** Every order that was begun, for the budgets of authorities. */
  certificate_orders: {
    id: Generated<number>;
    ca: string;
    purpose: CertificatePurpose;
    subject: string;
    /** The registered domain that limits count by. */
    domain: string;
    /** All names, sorted and joined: limits count the exact set. */
    name_set: string;
    at: number;
    /** 1: a renewal inside its window, which limits do not count. */
    exempt: number;
    /** In whose share it is (certificates/order-share.ts): a device's, and its owner's; null: in nobody's. */
    thumbprint: string | null;
    owner_id: string | null;
  };
  /** Accounts at certificate authorities, one per directory. */
  ca_accounts: { directory: string; key: string; url: string | null; created_at: number };
  /** What a relay answers an authority that looks at an own domain. */
  challenge_answers: {
    hostname: string;
    kind: 'http-01' | 'tls-alpn-01';
    token: string;
    key_authorization: string;
    expires_at: number;
  };
  /** Mail to owners that is not sent yet. Nothing in it gives a right to whoever reads it. */
  letters: {
    /** Of the recovery that it tells of, if it is about one. Its Message-ID is made of it. */
    id: string;
    to_address: string;
    subject: string;
    body: string;
    queued_at: number;
    /** When it is to be sent, or sent again: whoever takes it puts that off, which is his lease. */
    due_at: number;
    attempts: number;
    /** Grows with every taking: who has an older one writes nothing. */
    fence: number;
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
/** pending: not proven yet · proven: served · suspended: was proven, and is not any more. */
export type DomainState = 'pending' | 'proven' | 'suspended';
/** relay: of a device name or the zone · device: for a key of the device's own · domain: an own domain. */
export type CertificatePurpose = 'relay' | 'device' | 'domain';
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
  | 'recovery-told'
  | 'recovery-not-told'
  | 'recovery-vetoed'
  | 'recovery-withdrawn'
  | 'recovered'
  | 'key-rotated'
  | 'revoked'
  | 'domain-added'
  | 'domain-changed'
  | 'domain-proven'
  | 'domain-suspended'
  | 'domain-moved'
  | 'domain-removed'
  | 'lan-changed';
