// The name server's configuration: what dns.yaml may hold, and what the program gets from it.
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { ApexSettings } from './apex.ts';
import { type ApexFields, apexFields, apexOf, judgeApex } from './apex-config.ts';
import { type Hostname, parseHostname } from './name.ts';
import { judgeTransfers, transferFields } from './transfer-config.ts';
import type { TransferSettings } from './transfer-settings.ts';

export interface DnsListenAddress {
  readonly host: string;
  /** UDP and TCP. 0: any free one, told when the program is ready. */
  readonly port: number;
}

export interface DnsConfig {
  readonly listen: readonly DnsListenAddress[];
  readonly registry: RegistryPlace;
  readonly apex: ApexSettings;
  readonly transfers: TransferSettings;
  /** Equal answers to one network within a second; 0: as many as it asks for. */
  readonly responsesPerSecond: number;
  readonly ops: DnsListenAddress;
}

/** As in relay.yaml. Absolute paths. */
export type RegistryPlace =
  | { readonly kind: 'state'; readonly directory: string }
  /** A file with the URL of the PostgreSQL database. */
  | { readonly kind: 'postgres'; readonly urlFile: string };

const DEFAULTS = {
  port: 53,
  /** Relay and device have the two below. */
  opsPort: 9466,
  /** As NSD has it; a resolver asks for the same thing far less often. */
  responsesPerSecond: 200,
  /** More addresses than any machine has. */
  listenMax: 64,
} as const;

/** The schema of dns.yaml. Relative paths are meant from `folder`, where the file lies. */
export function dnsSchema(folder: string): z.ZodType<DnsConfig> {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));
  return z
    .strictObject({
      zone: z.string().transform(zoneName),
      listen: z
        .array(listenSchema(DEFAULTS.port))
        .min(1)
        .max(DEFAULTS.listenMax)
        .default([{ host: '::', port: DEFAULTS.port }]),
      state: path.optional(),
      registry: z.strictObject({ postgresUrlFile: path }).optional(),
      ...apexFields,
      ...transferFields(path),
      responsesPerSecond: z.int().min(0).max(1_000_000).default(DEFAULTS.responsesPerSecond),
      ops: z
        .strictObject({
          host: listenHost().default('127.0.0.1'),
          port: listenPort(DEFAULTS.opsPort),
        })
        .prefault({}),
    })
    .superRefine(judgeApex)
    .superRefine(judgeTransfers)
    .transform(toConfig);
}

interface Fields extends ApexFields, TransferSettings {
  readonly zone: Hostname;
  readonly listen: readonly DnsListenAddress[];
  readonly state?: string | undefined;
  readonly registry?: { readonly postgresUrlFile: string } | undefined;
  readonly responsesPerSecond: number;
  readonly ops: DnsListenAddress;
}

function toConfig(fields: Fields, context: z.RefinementCtx): DnsConfig {
  const { listen, state, responsesPerSecond, ops } = fields;
  const { tsigKeys, secondaries, transferLimits, notifyFrom } = fields;
  const registry = registryPlace(state, fields.registry?.postgresUrlFile);
  if (registry === undefined) {
    const message =
      'must say where the registry is: either "state", the state directory of the relay on this ' +
      'machine, or "registry: { postgresUrlFile: ... }", as in relay.yaml.';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
  return {
    ...{ listen, registry, responsesPerSecond, ops },
    apex: apexOf(fields),
    transfers: { tsigKeys, secondaries, transferLimits, notifyFrom },
  };
}

function registryPlace(
  directory: string | undefined,
  urlFile: string | undefined,
): RegistryPlace | undefined {
  if (directory !== undefined && urlFile === undefined) return { kind: 'state', directory };
  if (directory === undefined && urlFile !== undefined) return { kind: 'postgres', urlFile };
  return undefined;
}

function listenSchema(port: number) {
  return z.strictObject({ host: listenHost(), port: listenPort(port) });
}

function listenHost() {
  return z.string().refine((text) => isIP(text) !== 0, {
    error: 'must be an IP address of this machine, such as 192.0.2.53, 127.0.0.1 or "::" (all).',
  });
}

function listenPort(otherwise: number) {
  return z.int().min(0).max(65_535).default(otherwise);
}

function zoneName(text: string, context: z.RefinementCtx<string>): Hostname {
  const hostname = parseHostname(text);
  if (hostname !== undefined) return hostname;
  context.addIssue({ code: 'custom', message: 'must be a domain name, such as vendor.dev.' });
  return z.NEVER;
}
