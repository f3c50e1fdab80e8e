// The relay's configuration: what relay.yaml may hold, and what the program gets from it.
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { LIMITS } from './protocol/limits.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free port, told when the program is ready. */
  readonly port: number;
}

export interface RelayLimits {
  /** Open connections of one visitor address (IPv6: of one /64). */
  readonly connectionsPerAddress: number;
  /** Visitor connections that one device's tunnel carries at the same time. */
  readonly streamsPerTunnel: number;
  /** Streams of one visitor address to one device, so that one visitor cannot use it up. */
  readonly streamsPerVisitor: number;
  /** No bound when it is absent. */
  readonly requestsPerSecondPerAddress?: number | undefined;
}

export interface RelayConfig {
  /** Device names lie directly below it; devices connect to `tunnel.` in front of it. */
  readonly zone: Hostname;
  readonly listen: ListenAddress;
  /** Absolute path of the directory that holds what must survive a restart. */
  readonly state: string;
  readonly ops: ListenAddress;
  readonly accessLog: boolean;
  /** How long running streams may finish when the relay stops. */
  readonly drainSeconds: number;
  readonly limits: RelayLimits;
}

/** Where things lie in the state directory. */
export interface RelayFiles {
  readonly registry: string;
  readonly vendorKey: string;
  readonly certificates: string;
}

export function relayFiles({ state }: Pick<RelayConfig, 'state'>): RelayFiles {
  return {
    registry: join(state, 'registry.sqlite'),
    vendorKey: join(state, 'vendor.key'),
    certificates: join(state, 'certificates'),
  };
}

const DEFAULT_LIMITS: RelayLimits = {
  /** Offices and carriers put hundreds of people with six connections each behind one address. */
  connectionsPerAddress: 2_000,
  /** What the protocol admits without being told otherwise. */
  streamsPerTunnel: LIMITS.streamsMax,
  /** Of the 2,000 that a device's two tunnels take: a quarter is always left for others. */
  streamsPerVisitor: 1_500,
};

/** The schema of relay.yaml. Relative paths are meant from `folder`, where the file lies. */
export function relaySchema(folder: string): z.ZodType<RelayConfig> {
  return z.strictObject({
    zone: z.string().transform(zone),
    listen: listenSchema({ host: '0.0.0.0', port: 443 }),
    state: z
      .string()
      .min(1)
      .transform((path) => resolve(folder, path)),
    ops: listenSchema({ host: '127.0.0.1', port: 9464 }),
    accessLog: z.boolean().default(true),
    drainSeconds: z.number().min(0).max(3_600).default(30),
    limits: z
      .strictObject({
        connectionsPerAddress: count(1_000_000).default(DEFAULT_LIMITS.connectionsPerAddress),
        streamsPerTunnel: count(LIMITS.streamsCeiling).default(DEFAULT_LIMITS.streamsPerTunnel),
        streamsPerVisitor: count(LIMITS.streamsCeiling).default(DEFAULT_LIMITS.streamsPerVisitor),
        requestsPerSecondPerAddress: count(1_000_000).optional(),
      })
      .prefault({}),
  });
}

function count(max: number) {
  return z.int().min(1).max(max);
}

function listenSchema(defaults: ListenAddress) {
  return z
    .strictObject({
      host: z
        .string()
        .refine((text) => isIP(text) !== 0, {
          error: 'must be an IP address of this machine, such as 127.0.0.1, 0.0.0.0 (all) or "::".',
        })
        .default(defaults.host),
      port: z.int().min(0).max(65_535).default(defaults.port),
    })
    .prefault({});
}

function zone(text: string, context: z.RefinementCtx<string>): Hostname {
  const hostname = parseHostname(text);
  if (hostname !== undefined) return hostname;
  context.addIssue({ code: 'custom', message: 'must be a domain name, such as vendor.dev.' });
  return z.NEVER;
}
