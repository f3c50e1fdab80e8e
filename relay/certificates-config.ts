// What relay.yaml says of certificates, below `certificates:`: which authorities sign, in which order
// they are tried, and how much may be asked of each. Without an authority the relay has a local one.
import { resolve } from 'node:path';
import { z } from 'zod';

/** Let's Encrypt's, which most others are more generous than. */
const BUDGET_DEFAULTS = { ordersPer3Hours: 300, certificatesPerWeek: 50 } as const;

const CERTIFICATES_CONFIG_LIMITS = {
  /** Of a million devices in a week; above it the text is a mistake. */
  budgetMax: 10_000_000,
  /** A second one for when the first is away, and some to spare. */
  authoritiesMax: 5,
} as const;

/** An ACME directory and the account there. */
export interface AuthoritySettings {
  /** How logs, metrics and the ledger call it: `letsencrypt`. */
  readonly name: string;
  readonly directory: string;
  /** PEM file of the CA that signed the directory's own certificate, when no public one did. */
  readonly caFile?: string | undefined;
  /** Where the authority writes to. */
  readonly contact?: string | undefined;
  /** Which kind of certificate, where the authority offers several: `tlsserver`. */
  readonly profile?: string | undefined;
  readonly externalAccount?: ExternalAccountSettings | undefined;
  /** The common name of the root that chains shall lead to, where there are several. */
  readonly preferredChain?: string | undefined;
  /** What may be asked of it; the authority's own limits are never met. */
  readonly budget: AuthorityBudget;
}

/** External account binding (RFC 8555, section 7.3.4). */
export interface ExternalAccountSettings {
  readonly keyId: string;
  /** A file with the HMAC key in base64url. */
  readonly keyFile: string;
}

export interface AuthorityBudget {
  /** New orders of the account in any three hours. */
  readonly ordersPer3Hours: number;
  /** Certificates below one registered domain in any seven days; the zone is one. */
  readonly certificatesPerWeek: number;
}

export interface CertificatesSettings {
  /** In the order in which they are tried; none: a local authority. */
  readonly authorities: readonly AuthoritySettings[];
  /** Keys that seal private keys in the registry; absent: `envelope.key` in the state directory. */
  readonly envelopeKeyFile?: string | undefined;
}

export function certificatesSchema(folder: string): z.ZodType<CertificatesSettings> {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));
  const bound = (usual: number) =>
    z.int().min(1).max(CERTIFICATES_CONFIG_LIMITS.budgetMax).default(usual);
  const authority = z.strictObject({
    name: z.string().regex(/^[a-z0-9-]{1,32}$/, {
      error: 'must be a word of letters a-z, digits and hyphens, such as letsencrypt.',
    }),
    directory: z.string().refine(isHttps, {
      error: 'must be the https address of an ACME directory.',
    }),
    caFile: path.optional(),
    contact: z
      .string()
      .regex(/^[^\s@<>,;:"]+@[^\s@<>,;:"]+$/, {
        error: 'must be a mail address, such as certificates@vendor.dev.',
      })
      .optional(),
    profile: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'must be the name of a profile.' })
      .optional(),
    externalAccount: z
      .strictObject({ keyId: z.string().min(1).max(256), keyFile: path })
      .optional(),
    preferredChain: z.string().min(1).max(256).optional(),
    budget: z
      .strictObject({
        ordersPer3Hours: bound(BUDGET_DEFAULTS.ordersPer3Hours),
        certificatesPerWeek: bound(BUDGET_DEFAULTS.certificatesPerWeek),
      })
      .prefault({}),
  });
  return z.strictObject({
    authorities: z
      .array(authority)
      .max(CERTIFICATES_CONFIG_LIMITS.authoritiesMax)
      .superRefine(refuseSameNames)
      .default([]),
    envelopeKeyFile: path.optional(),
  });
}

function isHttps(text: string): boolean {
  return /^https:\/\/[\x21-\x7e]{1,300}$/.test(text) && URL.canParse(text);
}

function refuseSameNames(
  authorities: readonly AuthoritySettings[],
  context: z.RefinementCtx<AuthoritySettings[]>,
): void {
  for (const [index, { name }] of authorities.entries()) {
    if (authorities.findIndex((each) => each.name === name) === index) continue;
    const message = 'is the name of an authority above. Choose another.';
    context.addIssue({ code: 'custom', path: [index, 'name'], message });
  }
}
