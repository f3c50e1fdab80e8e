// What dns.yaml says about other name servers: the keys that they share with us, who they are, and how
// much they may take. The reader of the configuration checks that every `key` of a secondary is one of
// `tsigKeys`; this is the shape that all parts of the transfers trust.

export const TSIG_ALGORITHMS = [
  'hmac-sha256',
  'hmac-sha224',
  'hmac-sha384',
  'hmac-sha512',
  // RFC 8945, section 6: an implementation MUST have it, though its use is not recommended. Others
  // of the table are MAY (truncated ones) or MUST NOT be used (MD5), so they are not here.
  'hmac-sha1',
] as const;

export type TsigAlgorithm = (typeof TSIG_ALGORITHMS)[number];

export interface TsigKeySetting {
  /** A domain name; both sides must write the same one. */
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  /** Absolute path of a file with nothing but the secret in base64, closed to other users. */
  readonly secretFile: string;
}

/** A name server that takes the zone from us. */
export interface SecondarySetting {
  /** For people: log lines and metrics. */
  readonly name: string;
  /** Where it is notified and asked; an IP address. */
  readonly address: string;
  readonly port: number;
  /** The name of one of the keys; its transfers must be signed with it. */
  readonly key: string;
  /** Whether it is told of changes; without, it finds them by its own refresh. */
  readonly notify: boolean;
  /** Addresses or prefixes from which it may transfer; from anywhere when absent. */
  readonly transferFrom?: readonly string[] | undefined;
  /** It signs the zone, so that its serials are its own and are not compared with ours. */
  readonly signs?: boolean | undefined;
}

export interface TransferLimits {
  readonly transfersMax: number;
  readonly transfersPerSecondaryMax: number;
  readonly wholeMs: number;
  readonly progressMs: number;
}

export const DEFAULT_TRANSFER_LIMITS: TransferLimits = {
  /** As many as large vendors have secondaries, all starting at once after a restart. */
  transfersMax: 10,
  /** One that runs and one that begins anew after its connection was lost unnoticed. */
  transfersPerSecondaryMax: 2,
  /** Two million records are 50 MB, which even 1 Mbit/s carries within seven minutes. */
  wholeMs: 1_800_000,
  /** For one message of 16 KB: whoever is slower than 5 kbit/s will never have the zone. */
  progressMs: 30_000,
};

export interface TransferSettings {
  readonly tsigKeys: readonly TsigKeySetting[];
  readonly secondaries: readonly SecondarySetting[];
  readonly transferLimits: TransferLimits;
  /** Own addresses from which secondaries are notified and asked, at most one of each family. */
  readonly notifyFrom: readonly string[];
}
