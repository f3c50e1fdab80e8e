// What a zone is made of: record sets, and the numbers and mnemonics of their types (IANA "DNS
// Parameters"). A type without a mnemonic here is written `TYPE1234` (RFC 3597, section 5).

/** All records of one type at one owner. They share one TTL (RFC 2181, section 5.2). */
export interface RecordSet {
  readonly type: number;
  /** Seconds. */
  readonly ttl: number;
  /** RDATA in wire form, names in it uncompressed and in lower case. Never empty, no two alike. */
  readonly data: readonly Buffer[];
}

/** A record set with its owner: absolute, lower case, without a trailing dot. */
export interface ZoneRecord {
  readonly owner: string;
  readonly set: RecordSet;
}

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  SVCB: 64,
  HTTPS: 65,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
  CAA: 257,
} as const;

export const CLASS = { IN: 1, CH: 3, NONE: 254, ANY: 255 } as const;

const TYPE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(TYPE).map(([name, type]) => [type, name]),
);

export function typeName(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`;
}

/** `AAAA`, `TYPE65`; undefined for what is neither. */
export function parseType(text: string): number | undefined {
  const name = text.toUpperCase();
  for (const [type, known] of TYPE_NAMES) if (known === name) return type;
  const digits = /^TYPE(\d{1,5})$/.exec(name)?.[1];
  const type = Number(digits ?? Number.NaN);
  return type <= 65_535 ? type : undefined;
}

/** OPT, and the numbers that only questions and transactions use (RFC 6895, section 3.1). */
export function isMetaType(type: number): boolean {
  return type === 0 || type === TYPE.OPT || (type >= 128 && type <= 255);
}

export function findSet(sets: readonly RecordSet[], type: number): RecordSet | undefined {
  for (const set of sets) if (set.type === type) return set;
  return undefined;
}
