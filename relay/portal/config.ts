// The settings of the owners' portal: where it is, and how owners prove who they are.
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';
import { type Hostname, parseHostname } from '../../dns/name.ts';

export interface PortalConfig {
  /** Absent: `my.` in front of the zone. */
  readonly host?: Hostname | undefined;
  /** The port that people's browsers dial, where it is not the one that the relay listens on. */
  readonly publicPort?: number | undefined;
  /** PEM files for the host; needed when it lies outside the zone. Read anew when they change. */
  readonly certificateFiles?: CertificateFiles | undefined;
  readonly oidc: readonly OidcConfig[];
  /** Absent: nobody signs in by mail, and nobody is told anything by mail. */
  readonly mail?: MailConfig | undefined;
}

export interface CertificateFiles {
  /** The certificate and what is needed up to the root. */
  readonly certificate: string;
  readonly key: string;
}

export interface OidcConfig {
  /** What the button says and the address of the round trip: `company`. */
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecretFile: string;
  /** Whether a verified address of this provider makes somebody the owner who has that address. */
  readonly trustEmail: boolean;
}

/** One of the two. */
export interface MailConfig {
  /** Sign-in links go into the relay's log: for a vendor of one's own on one machine, and no other. */
  readonly print?: true | undefined;
  readonly smtp?: SmtpConfig | undefined;
}

export interface SmtpConfig {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (port 465). Otherwise STARTTLS is required, but on loopback. */
  readonly secure: boolean;
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** `Vendor <names@vendor.dev>` or an address. */
  readonly from: string;
}

/** Relative paths are meant from `folder`. */
export function portalSchema(folder: string) {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));
  return z.strictObject({
    host: z.string().transform(hostname).optional(),
    publicPort: z.int().min(1).max(65_535).optional(),
    certificateFiles: z.strictObject({ certificate: path, key: path }).optional(),
    oidc: z.array(oidcSchema(path)).max(8).default([]).refine(namesDiffer, {
      error: 'must not have two providers with the same name.',
    }),
    mail: z
      .strictObject({ print: z.literal(true).optional(), smtp: smtpSchema(path).optional() })
      .refine((mail) => (mail.print === undefined) !== (mail.smtp === undefined), {
        error: 'must have either "print: true" or "smtp".',
      })
      .optional(),
  });
}

type PathSchema = z.ZodType<string>;

function oidcSchema(path: PathSchema): z.ZodType<OidcConfig> {
  return z.strictObject({
    name: z.string().regex(/^[a-z0-9-]{1,32}$/, {
      error: 'must have 1 to 32 of the letters a-z, digits and hyphens.',
    }),
    issuer: z.string().refine(isIssuer, {
      error: 'must be the https address of an OpenID provider, such as https://id.example.com.',
    }),
    clientId: z.string().min(1).max(512),
    clientSecretFile: path,
    trustEmail: z.boolean().default(false),
  });
}

function smtpSchema(path: PathSchema) {
  return z
    .strictObject({
      host: z.string().min(1).max(253),
      port: z.int().min(1).max(65_535).default(587),
      secure: z.boolean().default(false),
      user: z.string().min(1).optional(),
      passwordFile: path.optional(),
      from: z.string().regex(/^[^\r\n@]{1,200}@[^\r\n@]{1,200}$/, {
        error: 'must be a mail address, such as names@vendor.dev or Vendor <names@vendor.dev>.',
      }),
    })
    .refine((smtp) => (smtp.user === undefined) === (smtp.passwordFile === undefined), {
      error: 'must have both user and passwordFile, or neither.',
    });
}

/** Without TLS a provider's answers could be anybody's; on this machine there is nobody between. */
function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname: host, search, hash, username } = new URL(text);
  if (search !== '' || hash !== '' || username !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(host));
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '[::1]' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

function namesDiffer(providers: readonly OidcConfig[]): boolean {
  return new Set(providers.map(({ name }) => name)).size === providers.length;
}

function hostname(text: string, context: z.RefinementCtx<string>): Hostname {
  const parsed = parseHostname(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'must be a hostname, such as my.vendor.com.' });
  return z.NEVER;
}
