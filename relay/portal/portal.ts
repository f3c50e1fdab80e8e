// The portal: where owners look after their names, and what devices ask without a tunnel. It lives on
// the relay's port: the entrance hands over connections for the portal's host by their SNI, and the
// door for devices hands over requests below /v1/device. Whatever happens to the provider that signs
// owners in, or to the mail server, the relay starts and serves.
import type { SecureContext, TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import type { Domains } from '../domains/domains.ts';
import { tlsSettings } from '../entrance/tls-settings.ts';
import { HttpDoor } from '../http-door.ts';
import type { SigningKey } from '../protocol/key.ts';
import type { Registry } from '../registry/registry.ts';
import type { SoftwarePolicy } from '../software-policy.ts';
import { PortalCertificate, type TicketKeySource } from './certificate-files.ts';
import type { PortalConfig } from './config.ts';
import type { DeviceCertificates } from './device-certificates.ts';
import { deviceRoutes } from './device-routes.ts';
import type { SecretLetter } from './letters.ts';
import { openMail } from './mail.ts';
import { MailSignIn } from './mail-sign-in.ts';
import { exposeLetters } from './metrics.ts';
import { Provider } from './oidc.ts';
import { OwnerDeeds } from './owner-deeds.ts';
import { OwnerNotices } from './owner-notices.ts';
import { makeOwnerServer } from './owner-server.ts';
import { Post } from './post.ts';
import { SecretMail } from './secret-mail.ts';
import { makeServer, type Serve } from './server.ts';
import { Sessions } from './sessions.ts';

const PORTAL_LIMITS = {
  /** Cookies of others below the same domain come along; a person's own are some hundred bytes. */
  headBytesMax: 16_384,
  /** Open connections; more people than that do not look at their names in the same minute. */
  connectionsMax: 2_000,
} as const;

export interface PortalParts {
  readonly zone: Hostname;
  readonly config: PortalConfig;
  readonly registry: Registry;
  readonly vendorKey: SigningKey;
  /** `tunnel.<zone>` */
  readonly tunnelHost: Hostname;
  readonly softwarePolicy: SoftwarePolicy;
  readonly ticketKeys: TicketKeySource;
  /** Domains of owners' own; their owners are told by `notices.domain` what becomes of them. */
  readonly domains: Domains;
  /** Who orders certificates for keys of devices. */
  readonly certificates?: DeviceCertificates | undefined;
  readonly accessLog: boolean;
  readonly log: Logger;
  /** The wall clock, for tests. */
  readonly clockMs?: () => number;
}

/** The portal's host by its setting, or `my.` in front of the zone. */
function portalHost(zone: Hostname, { host }: Pick<PortalConfig, 'host'>): Hostname {
  const hostname = host ?? parseHostname(`my.${zone}`);
  if (hostname === undefined) throw new Error(`The zone ${zone} is too long for a name below it.`);
  return hostname;
}

export interface Portal {
  readonly hostname: Hostname;
  /** The context for the portal's host, where it has a certificate of its own. */
  choose(hostname: Hostname): SecureContext | undefined;
  /** Takes a connection for the portal's host whose TLS is done. */
  take(socket: TLSSocket): void;
  /** Answers a request below /v1/device on the tunnel's host. */
  readonly deviceApi: Serve;
  /** Tells owners what devices and time have done. */
  readonly notices: OwnerNotices;
  /** Makes the figures of letters part of these registries. */
  expose(registers: MetricsRegistry[]): void;
  /** The relay listens: where links of the portal lead. Answers with the portal's address. */
  listening(port: number): string;
  /** Finishes what is being answered, within a bound. */
  close(): Promise<void>;
}

/** Rejects when the settings cannot be followed: a file that is not there, a wrong certificate. */
export async function openPortal(parts: PortalParts): Promise<Portal> {
  const { zone, config, registry, log } = parts;
  const hostname = portalHost(zone, config);
  const certificate = await certificateOf(parts, hostname);
  const place = { port: 443 };
  const origin = () => originOf(hostname, config.publicPort ?? place.port);
  const urlOf = (name: string) =>
    `${originOf(`${name}.${zone}`, config.publicPort ?? place.port)}/`;
  const sender = () => ({ origin: origin(), zone });
  const clockMs = parts.clockMs ?? (() => Date.now());
  const deliver = await openMail({ config: config.mail, hostname, log });
  const post = deliver && new Post({ registry, deliver, clockMs, log });
  const secretMail = deliver && new SecretMail(deliver, log);
  const send = (letter: SecretLetter) => secretMail?.send(letter);
  const notices = new OwnerNotices({ sender, post, clockMs, log });
  const deeds = new OwnerDeeds({ registry, notices, sender, send });
  const mailSignIn = deliver && new MailSignIn({ registry, sender, send, clockMs, log });
  const providers = await Promise.all(config.oidc.map((each) => Provider.open(each, log)));
  if (deliver === undefined && providers.length === 0) log.info(NO_WAY_IN);
  const owners = await makeOwnerServer({
    ...{ hostname, zone, urlOf, registry, deeds, clockMs, mailSignIn, origin, log },
    accessLog: parts.accessLog,
    domains: parts.domains,
    sessions: new Sessions(registry, clockMs),
    providers: new Map(providers.map((provider) => [provider.name, provider])),
  });
  const devices = await deviceServer(parts, { notices, portalOrigin: origin });
  const door = new HttpDoor({ ...PORTAL_LIMITS, request: (...both) => owners.routing(...both) });
  return {
    hostname,
    notices,
    choose: (asked) => (asked === hostname ? certificate?.context : undefined),
    take: (socket) => door.take(socket),
    deviceApi: (request, response) => devices.routing(request, response),
    expose: (registers) => {
      if (post !== undefined) exposeLetters({ post, registry, clockMs, registers });
    },
    listening(port) {
      place.port = port;
      post?.start();
      return origin();
    },
    async close() {
      certificate?.close();
      await door.drain();
      await Promise.all([devices.close(), owners.close(), mailSignIn?.close()]);
      await Promise.all([post?.close(), secretMail?.close()]);
    },
  };
}

const NO_WAY_IN =
  'portal: nobody can sign in, as relay.yaml has neither portal.mail nor portal.oidc. Devices can still ' +
  'be enrolled with "waygate relay enroll".';

async function deviceServer(
  parts: PortalParts,
  {
    notices,
    portalOrigin,
  }: { readonly notices: OwnerNotices; readonly portalOrigin: () => string },
): Promise<FastifyInstance> {
  const { registry, vendorKey, tunnelHost, softwarePolicy, accessLog, log } = parts;
  const devices = makeServer({ hostname: tunnelHost, log, accessLog });
  await deviceRoutes(devices, {
    ...{ registry, vendorKey, softwarePolicy, portalOrigin, log },
    ...{ zone: parts.zone, domains: parts.domains },
    ...{ hostname: tunnelHost, notices, certificates: parts.certificates },
  });
  await devices.ready();
  return devices;
}

async function certificateOf(parts: PortalParts, hostname: Hostname) {
  const { config, ticketKeys, log } = parts;
  const files = config.certificateFiles;
  if (files === undefined) return undefined;
  return PortalCertificate.open({
    files,
    hostname,
    settings: () => tlsSettings(hostname, ticketKeys.keys),
    edition: () => ticketKeys.day,
    log,
  });
}

function originOf(hostname: string, port: number): string {
  return new URL(`https://${hostname}:${port}`).origin;
}
