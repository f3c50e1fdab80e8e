// The relay's configuration: what relay.yaml may hold, and what the program gets from it.
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { type Hostname, parseHostname, splitHostname } from '../dns/name.ts';
import { type CertificatesSettings, certificatesSchema } from './certificates-config.ts';
import { type DomainsSettings, domainsSchema } from './domains-config.ts';
import { namesSchema } from './names-config.ts';
import { type PortalConfig, portalSchema } from './portal/config.ts';
import { LIMITS } from './protocol/limits.ts';
import type { NamePolicy } from './registry/policy.ts';
import {
  minimumVersionFault,
  refusedVersionFault,
  type SoftwarePolicy,
  updateUrlFault,
} from './software-policy.ts';

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

export interface RegistryConfig {
  /** A file that holds the URL of a PostgreSQL database. Absent: SQLite in the state directory. */
  readonly postgresUrlFile?: string | undefined;
}

export interface RelayConfig {
  /** Device names lie directly below it; devices connect to `tunnel.` in front of it. */
  readonly zone: Hostname;
  readonly listen: ListenAddress;
  /** How the zone calls this relay; each relay of a vendor has its own. */
  readonly id: string;
  /** What the zone tells visitors; absent: the address that is listened on, if it is one. */
  readonly addresses?: readonly string[] | undefined;
  /** Absolute path of the directory that holds what must survive a restart. */
  readonly state: string;
  readonly registry: RegistryConfig;
  readonly ops: ListenAddress;
  readonly accessLog: boolean;
  /** How long running streams may finish when the relay stops. */
  readonly drainSeconds: number;
  readonly limits: RelayLimits;
  readonly portal: PortalConfig;
  readonly names: NamePolicy;
  /** Which device software is admitted. */
  readonly devices: SoftwarePolicy;
  readonly certificates: CertificatesSettings;
  readonly domains: DomainsSettings;
  /** Where plain HTTP is answered: challenges of authorities, and redirects to HTTPS. Absent: nowhere. */
  readonly http?: ListenAddress | undefined;
}

/** More than a machine with several uplinks has. */
const ADDRESSES_MAX = 8;

/** How the zone tells of this relay. Listening on all addresses, it cannot know the public ones. */
export function presenceOf({
  id,
  addresses,
  listen,
}: Pick<RelayConfig, 'id' | 'addresses' | 'listen'>): {
  readonly id: string;
  readonly addresses: readonly string[];
} {
  const anywhere = ['0.0.0.0', '::'].includes(listen.host);
  return { id, addresses: addresses ?? (anywhere ? [] : [listen.host]) };
}

/** Where things lie in the state directory. */
export interface RelayFiles {
  readonly registry: string;
  readonly vendorKey: string;
  readonly certificates: string;
  /** Seals private keys in the registry. */
  readonly envelopeKey: string;
}

export function relayFiles({ state }: Pick<RelayConfig, 'state'>): RelayFiles {
  return {
    registry: join(state, 'registry.sqlite'),
    vendorKey: join(state, 'vendor.key'),
    certificates: join(state, 'certificates'),
    envelopeKey: join(state, 'envelope.key'),
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
  return z
    .strictObject({
      zone: z.string().transform(zone),
      listen: listenSchema({ host: '0.0.0.0', port: 443 }),
      id: z
        .string()
        .regex(/^[A-Za-z0-9._-]{1,64}$/, {
          error: 'must have 1 to 64 of the letters, digits, dots, hyphens and underscores.',
        })
        .default(hostname),
      addresses: z
        .array(
          z.string().refine((text) => isIP(text) !== 0 && !text.includes('%'), {
            error: 'must be an IP address that visitors reach, such as 192.0.2.1 or "2001:db8::1".',
          }),
        )
        .min(1)
        .max(ADDRESSES_MAX)
        .optional(),
      state: z
        .string()
        .min(1)
        .transform((path) => resolve(folder, path)),
      registry: registrySchema(folder).prefault({}),
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
      portal: portalSchema(folder).prefault({}),
      names: namesSchema.prefault({}),
      devices: z
        .strictObject({
          minimumVersion: judged(minimumVersionFault).optional(),
          refused: z.array(judged(refusedVersionFault)).max(REFUSED_MAX).optional(),
          updateUrl: judged(updateUrlFault).optional(),
        })
        .prefault({}),
      certificates: certificatesSchema(folder).prefault({}),
      domains: domainsSchema(folder).prefault({}),
      http: listenFields({ host: '0.0.0.0', port: 80 }).optional(),
    })
    .superRefine(portalIsServed);
}

function registrySchema(folder: string) {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));
  return z.strictObject({ postgresUrlFile: path.optional() });
}

/** The local CA issues for the zone only, by its own name constraints. */
function portalIsServed(
  { zone, portal }: Pick<RelayConfig, 'zone' | 'portal'>,
  context: z.RefinementCtx,
): void {
  const { host, certificateFiles } = portal;
  if (host === undefined || certificateFiles !== undefined) return;
  const place = splitHostname(host, zone);
  if (place.kind === 'service') return;
  const message =
    place.kind === 'outside'
      ? `lies outside the zone ${zone}, so it needs certificateFiles: { certificate, key }.`
      : `must be one label that no device can have in front of ${zone}, such as my.${zone}.`;
  context.addIssue({ code: 'custom', path: ['portal', 'host'], message });
}

/** Above this a minimum says it better. */
const REFUSED_MAX = 100;

/** Text whose fault, if it has one, is the end of a sentence. */
function judged(fault: (text: string) => string | undefined) {
  return z.string().superRefine((text, context) => {
    const message = fault(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
}

function count(max: number) {
  return z.int().min(1).max(max);
}

function listenSchema(defaults: ListenAddress) {
  return listenFields(defaults).prefault({});
}

function listenFields(defaults: ListenAddress) {
  return z.strictObject({
    host: z
      .string()
      .refine((text) => isIP(text) !== 0, {
        error: 'must be an IP address of this machine, such as 127.0.0.1, 0.0.0.0 (all) or "::".',
      })
      .default(defaults.host),
    port: z.int().min(0).max(65_535).default(defaults.port),
  });
}

function zone(text: string, context: z.RefinementCtx<string>): Hostname {
  const hostname = parseHostname(text);
  if (hostname !== undefined) return hostname;
  context.addIssue({ code: 'custom', message: 'must be a domain name, such as vendor.dev.' });
  return z.NEVER;
}
