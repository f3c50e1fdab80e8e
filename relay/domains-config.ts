// What relay.yaml says of own domains, below `domains:`: whom the relay asks what the world sees.
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';

/** A recursive resolver. */
export interface ResolverAddress {
  readonly host: string;
  readonly port: number;
}

export interface DomainsSettings {
  /** Recursive resolvers; none: those of this machine. */
  readonly resolvers: readonly ResolverAddress[];
  /** The HTTPS port that the world dials, where it is not the one that the relay listens on. */
  readonly publicPort?: number | undefined;
  /** PEM file of the root that certificates chain to, where this machine does not trust it. */
  readonly rootFile?: string | undefined;
}

/** More than any machine is configured with. */
const RESOLVERS_MAX = 8;
const DNS_PORT = 53;

export function domainsSchema(folder: string): z.ZodType<DomainsSettings> {
  return z.strictObject({
    resolvers: z
      .array(
        z.strictObject({
          host: z.string().refine((text) => isIP(text) !== 0, {
            error: 'must be the IP address of a recursive resolver, such as 127.0.0.1.',
          }),
          port: z.int().min(1).max(65_535).default(DNS_PORT),
        }),
      )
      .max(RESOLVERS_MAX)
      .default([]),
    publicPort: z.int().min(1).max(65_535).optional(),
    rootFile: z
      .string()
      .min(1)
      .transform((path) => resolve(folder, path))
      .optional(),
  });
}
