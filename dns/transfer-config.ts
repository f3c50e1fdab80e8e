// The part of dns.yaml about other name servers; what it gives is told in transfer-settings.ts.
import { isIP } from 'node:net';
import { z } from 'zod';
import { encodeName } from './domain-name.ts';
import {
  DEFAULT_TRANSFER_LIMITS,
  type SecondarySetting,
  type TransferSettings,
  TSIG_ALGORITHMS,
} from './transfer-settings.ts';

const FIELD_LIMITS = {
  /** Each is notified of every change. */
  secondariesMax: 64,
  /** One for each secondary. */
  keysMax: 64,
  /** The networks of a large provider of secondaries. */
  prefixesMax: 64,
} as const;

/** `path` makes relative paths absolute. */
export function transferFields(path: z.ZodType<string>) {
  return {
    tsigKeys: z
      .array(
        z.strictObject({
          name: z.string().refine(isDomainName, {
            error: 'must be a domain name, such as ns1-key; the same on both sides.',
          }),
          algorithm: z.enum(TSIG_ALGORITHMS).default('hmac-sha256'),
          secretFile: path,
        }),
      )
      .max(FIELD_LIMITS.keysMax)
      .default([]),
    secondaries: z.array(secondarySchema()).max(FIELD_LIMITS.secondariesMax).default([]),
    notifyFrom: z.array(ipAddress()).max(2).default([]),
    transferLimits: z
      .strictObject({
        transfersMax: count(1, 1_000).default(DEFAULT_TRANSFER_LIMITS.transfersMax),
        transfersPerSecondaryMax: count(1, 100).default(
          DEFAULT_TRANSFER_LIMITS.transfersPerSecondaryMax,
        ),
        wholeMs: count(1_000, 86_400_000).default(DEFAULT_TRANSFER_LIMITS.wholeMs),
        progressMs: count(1_000, 3_600_000).default(DEFAULT_TRANSFER_LIMITS.progressMs),
      })
      .prefault({}),
  };
}

/** What goes over more than one entry. */
export function judgeTransfers(fields: TransferSettings, context: z.RefinementCtx): void {
  const fault = (path: PropertyKey[], message: string) =>
    context.addIssue({ code: 'custom', path, message });
  const keys = new Set<string>();
  for (const [index, { name }] of fields.tsigKeys.entries()) {
    const canonical = encodeName(name)?.toString('latin1') ?? '';
    if (keys.has(canonical)) fault(['tsigKeys', index, 'name'], 'is the name of two keys.');
    keys.add(canonical);
  }
  const names = new Set<string>();
  for (const [index, { name, key }] of fields.secondaries.entries()) {
    if (names.has(name)) fault(['secondaries', index, 'name'], 'is the name of two secondaries.');
    names.add(name);
    if (!keys.has(encodeName(key)?.toString('latin1') ?? '')) {
      const message = 'must be the name of one of "tsigKeys". Add the key there, or correct it.';
      fault(['secondaries', index, 'key'], message);
    }
  }
  const families = fields.notifyFrom.map((address) => isIP(address));
  if (new Set(families).size < families.length) {
    fault(['notifyFrom'], 'must have at most one IPv4 and one IPv6 address.');
  }
}

function secondarySchema(): z.ZodType<SecondarySetting> {
  return z.strictObject({
    name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, {
      error: 'must have 1 to 64 of the letters, digits, dots, hyphens and underscores.',
    }),
    address: ipAddress(),
    port: z.int().min(1).max(65_535).default(53),
    key: z.string(),
    notify: z.boolean().default(true),
    transferFrom: z
      .array(
        z.string().refine(isPrefix, {
          error: 'must be an IP address or a prefix, such as 192.0.2.0/24.',
        }),
      )
      .min(1)
      .max(FIELD_LIMITS.prefixesMax)
      .optional(),
    signs: z.boolean().optional(),
  });
}

function isDomainName(text: string): boolean {
  return (encodeName(text)?.length ?? 0) > 1;
}

function isPrefix(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

function ipAddress() {
  return z.string().refine((text) => isIP(text) !== 0 && !text.includes('%'), {
    error: 'must be an IP address, such as 192.0.2.53 or "2001:db8::53".',
  });
}

function count(min: number, max: number) {
  return z.int().min(min).max(max);
}
