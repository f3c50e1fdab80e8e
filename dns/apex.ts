// What a vendor says of his zone as a whole, in dns.yaml: who serves it, which certificate authorities
// may sign for it, how long answers may be kept. The registry keeps it as text beside the serial.
import type { Hostname } from './name.ts';
import type { PublicServer } from './propagation.ts';

export interface NameServerHost {
  readonly host: Hostname;
  /** Glue; only of hosts in the zone. */
  readonly addresses: readonly string[];
  /** Where a relay asks it what it serves. The world asks port 53. */
  readonly port: number;
}

/** Seconds. */
export interface ZoneTtls {
  /** NS, SOA and CAA of the zone, and the addresses of its name servers. */
  readonly apex: number;
  /** The addresses of relays: how long a dead one is still asked. */
  readonly edge: number;
  readonly lan: number;
  /** Certificate authorities ask anew for each order, and must not see the last one's value. */
  readonly challenges: number;
  /** How long "there is no such name" is believed: what a person waits for a name just claimed. */
  readonly negative: number;
}

export interface ApexSettings {
  readonly zone: Hostname;
  /** The first is the primary (MNAME). */
  readonly nameServers: readonly NameServerHost[];
  /** Name servers that follow this one: whoever publishes a challenge waits for them. */
  readonly secondaries: readonly PublicServer[];
  /** A mail address. */
  readonly hostmaster: string;
  /** CAA records in presentation form: `0 issue "ca.example"`. */
  readonly caa: readonly string[];
  /** Labels directly below the zone that lead to the relays: `tunnel`, `my`. */
  readonly services: readonly string[];
  readonly ttl: ZoneTtls;
}

/** What secondaries are told in the SOA; seconds. */
export const SOA_TIMES = {
  /** NOTIFY tells them at once; this is for when it is lost. */
  refresh: 3_600,
  retry: 600,
  /** How long they go on without us: two weeks. */
  expire: 1_209_600,
} as const;
