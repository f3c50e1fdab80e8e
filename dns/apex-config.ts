// The part of dns.yaml that says what the zone is as a whole: who serves it, who may sign for it, how
// long answers may be kept.
import { isIP } from 'node:net';
import { z } from 'zod';
import type { ApexSettings, ZoneTtls } from './apex.ts';
import { type Hostname, parseHostname, splitHostname } from './name.ts';
import type { SecondarySetting } from './transfer-settings.ts';

const APEX_LIMITS = {
  /** More than fit into one small answer with their addresses. */
  nameServersMax: 13,
  /** One of each family for each uplink of a large site. */
  addressesMax: 8,
  /** All authorities that anybody uses; the set must fit a small answer. */
  issuersMax: 16,
} as const;

const DNS_PORT = 53;

export interface ApexFields {
  readonly zone: Hostname;
  readonly nameServers: readonly {
    readonly host: Hostname;
    readonly addresses: readonly string[];
    readonly port: number;
  }[];
  readonly secondaries: readonly SecondarySetting[];
  readonly hostmaster?: string | undefined;
  readonly portalHost?: Hostname | undefined;
  readonly caa?: CaaFields | undefined;
  readonly ttl: ZoneTtls;
}

interface CaaFields {
  readonly issuers: readonly {
    readonly ca: Hostname;
    readonly accountUri?: string | undefined;
    readonly validationMethods?: readonly string[] | undefined;
  }[];
  readonly iodef?: string | undefined;
}

export const apexFields = {
  nameServers: z
    .array(
      z.strictObject({
        host: z.string().transform(hostname),
        addresses: z.array(address()).max(APEX_LIMITS.addressesMax).default([]),
        port: z.int().min(1).max(65_535).default(DNS_PORT),
      }),
    )
    .min(1)
    .max(APEX_LIMITS.nameServersMax),
  hostmaster: z
    .string()
    .regex(/^[A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,200}$/, {
      error: 'must be a mail address, such as hostmaster@vendor.dev.',
    })
    .optional(),
  portalHost: z.string().transform(hostname).optional(),
  caa: z
    .strictObject({
      issuers: z
        .array(
          z.strictObject({
            ca: z.string().transform(hostname),
            accountUri: parameter(/^https:\/\/[\x21-\x3a\x3c-\x7e]{1,300}$/, {
              error: 'must be the https address of the account at the certificate authority.',
            }).optional(),
            validationMethods: z
              .array(
                parameter(/^[a-z0-9-]{1,64}$/, {
                  error: 'must be a method of the certificate authority, such as dns-01.',
                }),
              )
              .min(1)
              .max(8)
              .optional(),
          }),
        )
        .max(APEX_LIMITS.issuersMax),
      iodef: parameter(/^(mailto:|https?:\/\/)[\x21-\x7e]{1,250}$/, {
        error: 'must be where an authority reports to: mailto:... or https://...',
      }).optional(),
    })
    .optional(),
  ttl: z
    .strictObject({
      apex: seconds(60, 86_400).default(3_600),
      edge: seconds(5, 300).default(30),
      lan: seconds(5, 3_600).default(60),
      challenges: seconds(1, 60).default(1),
      negative: seconds(1, 300).default(30),
    })
    .prefault({}),
};

/** What only the zone can tell about the parts. */
export function judgeApex(fields: ApexFields, context: z.RefinementCtx): void {
  const { zone, nameServers, portalHost } = fields;
  const fault = (path: PropertyKey[], message: string) =>
    context.addIssue({ code: 'custom', path, message });
  const hosts = new Set<string>();
  for (const [index, { host, addresses }] of nameServers.entries()) {
    const { kind } = splitHostname(host, zone);
    const inZone = kind !== 'outside';
    if (inZone && (kind !== 'service' || VENDOR_LABELS.has(labelOf(host, zone)))) {
      const message = `must be one label that no device can have in front of ${zone}, such as ns1.${zone}.`;
      fault(['nameServers', index, 'host'], message);
    }
    if (hosts.has(host)) fault(['nameServers', index, 'host'], 'stands here twice. Remove one.');
    hosts.add(host);
    if (inZone && addresses.length === 0) {
      const message = `must have at least one entry: nobody else tells where ${host} is.`;
      fault(['nameServers', index, 'addresses'], message);
    }
    if (!inZone && addresses.length > 0) {
      const message = `must be left out: ${host} lies outside the zone, whose own zone tells where it is.`;
      fault(['nameServers', index, 'addresses'], message);
    }
  }
  if (portalHost === undefined) return;
  const { kind } = splitHostname(portalHost, zone);
  if (kind === 'outside') return;
  if (kind !== 'service' || hosts.has(portalHost)) {
    const message = `must be one label that no device can have in front of ${zone}, such as my.${zone}.`;
    fault(['portalHost'], message);
  }
}

export function apexOf(fields: ApexFields): ApexSettings {
  const { zone, nameServers, secondaries, hostmaster, portalHost, caa, ttl } = fields;
  const portal = portalHost ?? `my.${zone}`;
  const services = ['tunnel'];
  if (portal.endsWith(`.${zone}`)) services.push(labelOf(portal, zone));
  return {
    zone,
    nameServers,
    secondaries: secondaries.map(({ name, address, port }) => ({
      ...{ name, addresses: [address], port },
    })),
    hostmaster: hostmaster ?? `hostmaster@${zone}`,
    caa: caa === undefined ? [] : caaRecords(caa),
    services: [...new Set(services)],
    ttl,
  };
}

/** Labels whose records are not a name server's. */
const VENDOR_LABELS: ReadonlySet<string> = new Set(['edge', 'to', 'tunnel']);

/** RFC 8659 and, for the parameters, RFC 8657. An empty list: nobody may sign. */
function caaRecords({ issuers, iodef }: CaaFields): string[] {
  const records = issuers.map(({ ca, accountUri, validationMethods }) => {
    const parts: string[] = [ca];
    if (validationMethods !== undefined) {
      parts.push(`validationmethods=${validationMethods.join(',')}`);
    }
    if (accountUri !== undefined) parts.push(`accounturi=${accountUri}`);
    return `0 issue "${parts.join(';')}"`;
  });
  if (records.length === 0) records.push('0 issue ";"');
  if (iodef !== undefined) records.push(`0 iodef "${iodef}"`);
  return records;
}

function labelOf(host: Hostname | string, zone: Hostname): string {
  return host.slice(0, -zone.length - 1);
}

/** Neither quote nor backslash, which would end the text that it becomes part of. */
function parameter(pattern: RegExp, message: { readonly error: string }) {
  return z.string().refine((text) => pattern.test(text) && !/["\\]/.test(text), message);
}

function seconds(min: number, max: number) {
  return z.int().min(min).max(max);
}

function address() {
  return z.string().refine((text) => isIP(text) !== 0 && !text.includes('%'), {
    error: 'must be an IP address, such as 192.0.2.53 or "2001:db8::53".',
  });
}

function hostname(text: string, context: z.RefinementCtx<string>): Hostname {
  const parsed = parseHostname(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'must be a hostname, such as ns1.vendor.dev.' });
  return z.NEVER;
}
