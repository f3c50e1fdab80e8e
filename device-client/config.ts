// The device's configuration: what device.yaml may hold, and what the program gets from it. It is
// also the device's consent: what no workspace here names, no relay can reach.
import { isIP } from 'node:net';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { parseWorkspaceName, type WorkspaceName, workspaceNameFault } from '../dns/name.ts';
import { type PublicKey, parsePublicKey, publicKeyFault } from '../relay/protocol/key.ts';

/** Where a workspace listens; fits `net.connect`. */
export type WorkspaceTarget =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface WorkspaceConfig {
  readonly name: WorkspaceName;
  readonly target: WorkspaceTarget;
}

export interface DeviceConfig {
  readonly relay: {
    /** `wss://HOST[:PORT]/` */
    readonly url: string;
    /** Only a relay that proves to hold this key is believed. */
    readonly vendorKey: PublicKey;
    /** PEM file of the CA that signed the relay's certificate, when no public one did. */
    readonly ca?: string | undefined;
    /** Connect to this address instead of resolving the host of the URL. */
    readonly address?: string | undefined;
  };
  /** File of the device's private key: who the device is. Made on first use. */
  readonly key: string;
  /** Directory of the certificates for keys of this device; beside the key file unless it is set. */
  readonly certificates: string;
  /** How the device gets its name at its first boot, when no person is there to claim one. */
  readonly claim?: ClaimConfig | undefined;
  readonly ops: { readonly host: string; readonly port: number };
  readonly workspaces: readonly WorkspaceConfig[];
}

export interface ClaimConfig {
  /** File with the code of an order. A code that was redeemed may stay in it. */
  readonly codeFile: string;
  /** What the maker wrote on the device, when the order asks for it. */
  readonly serial?: string | undefined;
}

/** More are better served by a device of their own. */
const WORKSPACES_MAX = 1_000;

/** Of a serial number; the relay takes no longer one. */
const SERIAL_CHARS_MAX = 64;

/** The schema of device.yaml. Relative paths are meant from `folder`, where the file lies. */
export function deviceSchema(folder: string): z.ZodType<DeviceConfig> {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));
  const fields = z.strictObject({
    relay: z.strictObject({
      url: parsed(relayUrlFault, (text) => new URL(text).href),
      vendorKey: parsed(vendorKeyFault, (text) => parsePublicKey(text, 'vendor')),
      ca: path.optional(),
      address: z.string().refine(isAddress, { error: ADDRESS_WORDS }).optional(),
    }),
    key: path,
    certificates: path.optional(),
    claim: z
      .strictObject({ codeFile: path, serial: z.string().min(1).max(SERIAL_CHARS_MAX).optional() })
      .optional(),
    ops: z
      .strictObject({
        host: z.string().refine(isAddress, { error: ADDRESS_WORDS }).default('127.0.0.1'),
        port: z.int().min(0).max(65_535).default(9_465),
      })
      .prefault({}),
    workspaces: z
      .array(z.strictObject({ name: parsed(nameFault, parseWorkspaceName), target }))
      .min(1)
      .max(WORKSPACES_MAX)
      .superRefine(refuseSameNames),
  });
  return fields.transform(({ certificates, ...config }) => ({
    ...config,
    certificates: certificates ?? join(dirname(config.key), 'certificates'),
  }));
}

/** A target as written in a configuration or on a command line. */
export function parseTarget(text: string): WorkspaceTarget | undefined {
  if (targetFault(text) !== undefined) return undefined;
  if (text.startsWith(UNIX)) return { kind: 'unix', path: text.slice(UNIX.length) };
  const { hostname, port } = new URL(text);
  return { kind: 'tcp', host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) };
}

/** Why a text is no target, as the end of a sentence that begins with what names it. */
export function targetFault(text: string): string | undefined {
  if (text.startsWith(UNIX)) {
    const path = text.slice(UNIX.length);
    if (!isAbsolute(path)) return 'must name an absolute path after "unix:".';
    // sun_path has 108 bytes with its final zero (unix(7)); macOS has 104.
    if (Buffer.byteLength(path) > 103) return 'has a longer path than a socket can have (103).';
    return path.includes('\0') ? 'must have no zero byte.' : undefined;
  }
  if (/^https:\/\//i.test(text)) {
    return 'must begin with http://. The device and the workspace speak plain HTTP; visitors get HTTPS from the entrance.';
  }
  if (!/^http:\/\//i.test(text)) return 'must be http://HOST:PORT or unix:/PATH.';
  if (!/^[\x21-\x7e]+$/.test(text) || text.includes('\\') || !URL.canParse(text)) {
    return 'must be http://HOST:PORT, without spaces or other special characters.';
  }
  return targetUrlFault(text, new URL(text));
}

const UNIX = 'unix:';

function targetUrlFault(text: string, url: URL): string | undefined {
  if (url.username !== '' || url.password !== '') {
    return 'must have no user or password. Visitors send their own; the device adds none.';
  }
  // Seen in the text: the URL parser drops an empty query and resolves `/..`.
  if (!/^http:\/\/[^/?#]*\/?$/i.test(text)) {
    return "must end after the port. Paths and queries are the visitor's and are passed on as they are.";
  }
  return url.port === '0' ? 'must have a port from 1 to 65535.' : undefined;
}

const target = parsed(targetFault, parseTarget);

const ADDRESS_WORDS = 'must be an IP address, such as 192.0.2.1.';

function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

function relayUrlFault(text: string): string | undefined {
  if (/^(ws|http):\/\//i.test(text)) return 'must begin with wss://. A tunnel is always encrypted.';
  if (!/^wss:\/\//i.test(text) || !URL.canParse(text)) {
    return "must be the relay's address, such as wss://tunnel.vendor.dev/.";
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return 'must have no user or password. The device proves itself with its key.';
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return 'must have nothing after the host and port but "/".';
  }
  return undefined;
}

function vendorKeyFault(text: string): string | undefined {
  const fault = publicKeyFault(text, 'vendor');
  return fault === undefined
    ? undefined
    : `is wrong. ${fault} See: waygate relay key --config FILE`;
}

function nameFault(text: string): string | undefined {
  const fault = workspaceNameFault(text);
  return fault === undefined ? undefined : `${fault}.`;
}

/** Text that is told its fault, or becomes what it stands for. */
function parsed<Value>(
  fault: (text: string) => string | undefined,
  parse: (text: string) => Value | undefined,
) {
  return z.string().transform((text, context): Value => {
    const message = fault(text);
    const value = message === undefined ? parse(text) : undefined;
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: message ?? 'is not usable.' });
    return z.NEVER;
  });
}

function refuseSameNames(
  workspaces: readonly WorkspaceConfig[],
  context: z.RefinementCtx<WorkspaceConfig[]>,
): void {
  const seen = new Set<WorkspaceName>();
  for (const [index, { name }] of workspaces.entries()) {
    if (seen.has(name)) {
      context.addIssue({
        code: 'custom',
        path: [index, 'name'],
        message: 'is the name of a workspace above. Choose another.',
      });
    }
    seen.add(name);
  }
}
