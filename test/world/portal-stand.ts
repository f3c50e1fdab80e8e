// A portal on a real port, with a registry of its own, in this process: entrance, TLS, the owners' host
// and the devices' host as in a relay, without tunnels. And people who use it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { createAuthority } from '../../certs/authority.ts';
import { Chooser } from '../../certs/chooser.ts';
import { LocalCertificates } from '../../certs/local-certificates.ts';
import { openStore } from '../../certs/store.ts';
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../../dns/name.ts';
import type { Domains, DomainsOptions } from '../../relay/domains/domains.ts';
import { Entrance } from '../../relay/entrance/entrance.ts';
import { Journal } from '../../relay/entrance/journal.ts';
import { tlsSettings } from '../../relay/entrance/tls-settings.ts';
import { HttpDoor } from '../../relay/http-door.ts';
import type { PortalConfig } from '../../relay/portal/config.ts';
import { openPortal, type Portal } from '../../relay/portal/portal.ts';
import { generateKey, type PublicKey, type SigningKey } from '../../relay/protocol/key.ts';
import { type ClaimReceipt, openClaim } from '../../relay/registry/deeds/claim.ts';
import { startSession } from '../../relay/registry/portal-token.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { MAIL_ISSUER, type Owner, signIn } from '../../relay/registry/sign-in.ts';
import { Router } from '../../relay/route.ts';
import { blindDomains } from './blind-domains.ts';
import type { OrgDomains } from './org-domains.ts';
import { PortalVisitor } from './portal-visitor.ts';

const ZONE = hostname('vendor.test');
const TUNNEL = hostname('tunnel.vendor.test');
const DOOR = { headBytesMax: 8_192, connectionsMax: 100 } as const;

export interface Claimant extends ClaimReceipt {
  readonly key: PublicKey;
}

export class PortalStand implements AsyncDisposable {
  readonly portal: Portal;
  readonly registry: Registry;
  readonly domains: Domains;
  readonly vendorKey: PublicKey;
  readonly origin: string;
  readonly port: number;
  /** For files of a test; gone with the stand. */
  readonly folder: string;
  readonly caPem: string;
  /** The same as a file, for programs that are not ours. */
  readonly ca: string;
  /** Everything that was logged, line by line. */
  readonly log: readonly string[];
  /** Added to the wall clock, as the portal sees it. */
  readonly clock: { aheadMs: number };
  readonly #close: () => Promise<void>;

  private constructor(parts: {
    readonly portal: Portal;
    readonly registry: Registry;
    readonly domains: Domains;
    readonly vendorKey: SigningKey;
    readonly origin: string;
    readonly port: number;
    readonly folder: string;
    readonly caPem: string;
    readonly ca: string;
    readonly log: readonly string[];
    readonly clock: { aheadMs: number };
    readonly close: () => Promise<void>;
  }) {
    this.portal = parts.portal;
    this.registry = parts.registry;
    this.domains = parts.domains;
    this.vendorKey = parts.vendorKey.publicKey;
    this.origin = parts.origin;
    this.port = parts.port;
    this.folder = parts.folder;
    this.caPem = parts.caPem;
    this.ca = parts.ca;
    this.log = parts.log;
    this.clock = parts.clock;
    this.#close = parts.close;
  }

  /** `org`: where owners' domains are; without it none can be looked up. */
  static async open(
    config: Partial<PortalConfig> = {},
    org?: OrgDomains,
    limits: DomainsOptions['limits'] = { againAfterMs: 0 },
  ): Promise<PortalStand> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-portal-'));
    const lines: string[] = [];
    const log = pino(
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          lines.push(chunk.toString());
          done();
        },
      }),
    );
    const file = join(folder, 'registry.sqlite');
    const registry = await openRegistry({ database: { kind: 'sqlite', file }, log });
    const clock = { aheadMs: 0 };
    const vendorKey = generateKey('vendor');
    const place = { port: 0 };
    const domains = blindDomains({
      ...{ registry, zone: ZONE, log },
      ...(org === undefined ? {} : org.seen()),
      tell: (change) => portal.notices.domain(change),
      publicPort: () => place.port,
      now: () => Date.now() + clock.aheadMs,
      ...{ limits },
    });
    const portal: Portal = await openPortal({
      ...{ zone: ZONE, tunnelHost: TUNNEL, registry, domains, log, accessLog: true },
      ...{
        config: { oidc: [], mail: { print: true }, ...config },
        softwarePolicy: { refused: [] },
      },
      ...{ vendorKey, ticketKeys: { keys: Buffer.alloc(48, 1), day: 1 } },
      clockMs: () => Date.now() + clock.aheadMs,
    });
    const authority = await createAuthority(ZONE);
    const store = await openStore(join(folder, 'certificates'));
    const chooser = new Chooser({
      source: new LocalCertificates({ zone: ZONE, store, authority, log }),
      subjects: () => [ZONE],
      settings: (name) => tlsSettings(name),
      log,
    });
    const devices = new HttpDoor({ ...DOOR, request: portal.deviceApi });
    const entrance = new Entrance({
      ...{ host: '127.0.0.1', port: 0, via: 'relay', fallback: () => chooser.choose(ZONE) },
      choose: (name) => portal.choose(name) ?? org?.context(name) ?? chooser.choose(name),
      reach: emptyRouter().reach,
      journal: new Journal({ log, accessLog: false }),
      services: [
        { hostname: portal.hostname, take: (socket) => portal.take(socket) },
        { hostname: TUNNEL, take: (socket) => devices.take(socket) },
      ],
    });
    const port = await entrance.listen();
    place.port = port;
    const origin = portal.listening(port);
    const close = async () => {
      entrance.stop();
      devices.destroy();
      await Promise.all([portal.close(), domains.stop()]);
      entrance.close();
      await registry.close();
      rmSync(folder, { recursive: true, force: true });
    };
    const { caPem } = authority;
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, caPem);
    return new PortalStand({
      portal,
      registry,
      domains,
      vendorKey,
      origin,
      port,
      folder,
      caPem,
      ca,
      log: lines,
      clock,
      close,
    });
  }

  /** Somebody with a browser of his own. */
  visitor(): PortalVisitor {
    return new PortalVisitor(this.origin, this);
  }

  async owner(email: string): Promise<Owner> {
    const nowMs = Date.now();
    const identity = { issuer: MAIL_ISSUER, subject: email, emailVerified: true, nowMs };
    return this.registry.write(signIn(identity));
  }

  /** Somebody who is signed in, without the way there. */
  async signedIn(email: string): Promise<PortalVisitor & { readonly ownerId: string }> {
    const { id: ownerId } = await this.owner(email);
    const nowMs = Date.now() + this.clock.aheadMs;
    const token = await this.registry.write(startSession({ ownerId, nowMs }));
    const visitor = this.visitor();
    visitor.cookies.set('__Host-waygate', token);
    return Object.assign(visitor, { ownerId });
  }

  /** A device that shows a code. */
  async claimant(wanted?: string): Promise<Claimant> {
    const key = generateKey('device').publicKey;
    const name = wanted === undefined ? {} : { wantedName: deviceName(wanted) };
    const claim = { deviceKey: key, software: 'waygate/1.2.3', address: '203.0.113.7', ...name };
    return { ...(await this.registry.perform(openClaim(claim))), key };
  }

  /** What the registry holds, to be compared: everything but secrets and tries. */
  async state(): Promise<unknown> {
    return this.registry.read(async (db) => ({
      names: await db.selectFrom('names').selectAll().orderBy('name').execute(),
      owners: await db.selectFrom('owners').selectAll().orderBy('id').execute(),
      claims: await db.selectFrom('claims').selectAll().orderBy('id').execute(),
      recoveries: await db.selectFrom('recoveries').selectAll().orderBy('id').execute(),
      domains: await db
        .selectFrom('domains')
        .select(['domain', 'name', 'workspace', 'wildcard', 'target', 'state'])
        .orderBy('domain')
        .orderBy('name')
        .execute(),
      transfers: await db.selectFrom('transfers').selectAll().orderBy('id').execute(),
      history: await db.selectFrom('history').selectAll().orderBy('id').execute(),
    }));
  }

  /** The link of the newest printed letter to this address, once there is one; `count`: so many. */
  signInLinks(email: string, count: number): Promise<string[]> {
    return this.#printed(count, ({ signInLink, to }) => (to === email ? signInLink : undefined));
  }

  /** The text of the printed letter to this address, once there is one. */
  async letter(email: string, subject: string): Promise<string> {
    const [text = ''] = await this.#printed(1, ({ letter }) =>
      letter?.to === email && letter.subject === subject ? letter.text : undefined,
    );
    return text;
  }

  async #printed(count: number, text: (line: Printed) => string | undefined): Promise<string[]> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const found = this.log.flatMap((line) => text(JSON.parse(line)) ?? []);
      if (found.length >= count) return found;
      if (performance.now() > deadline) throw new Error(`only ${found.length} letters`);
      await new Promise((next) => setTimeout(next, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** A log line of a letter. */
interface Printed {
  readonly signInLink?: string;
  readonly to?: string;
  readonly letter?: { readonly to: string; readonly subject: string; readonly text: string };
}

/** Nobody is behind any name. */
function emptyRouter(): Router {
  return new Router({
    zone: ZONE,
    holderOf: () => undefined,
    successorOf: () => undefined,
    ownDomainOf: () => undefined,
    pick: () => undefined,
    awaySinceMs: () => undefined,
    stopping: () => false,
    streamsPerVisitor: 10,
  });
}

function deviceName(text: string): DeviceName {
  const parsed = parseDeviceName(text);
  if (parsed === undefined) throw new Error(`${text} is no device name`);
  return parsed;
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`${text} is no hostname`);
  return parsed;
}
