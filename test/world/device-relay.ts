// The relay's API for devices behind real TLS, on a registry and a local authority of its own: what a
// device needs of a relay to get a certificate. It can go away and come back at the same address.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { type Authority, createAuthority } from '../../certs/authority.ts';
import { csrPublicKey } from '../../certs/csr.ts';
import { LocalCertificates } from '../../certs/local-certificates.ts';
import { renewAtMs } from '../../certs/renewal.ts';
import { openStore } from '../../certs/store.ts';
import { DeviceApi } from '../../device-client/api.ts';
import { Clock } from '../../device-client/clock.ts';
import type { RelayAddress } from '../../device-client/tunnel.ts';
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../../dns/name.ts';
import type { DeviceCertificates } from '../../relay/portal/device-certificates.ts';
import { deviceRoutes } from '../../relay/portal/device-routes.ts';
import { makeServer } from '../../relay/portal/server.ts';
import { generateKey, type SigningKey } from '../../relay/protocol/key.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { blindDomains } from './blind-domains.ts';
import type { DatedCertificate } from './dated-certificate.ts';

export const ZONE = hostname('vendor.test');
export const HOST = hostname('tunnel.vendor.test');
const log = pino({ level: 'silent' });

export class DeviceRelay implements AsyncDisposable {
  readonly registry: Registry;
  readonly authority: Authority;
  /** The relay's own certificates. */
  readonly source: LocalCertificates;
  readonly vendorKey = generateKey('vendor');
  readonly #folder: string;
  /** Another one may be put here before it comes back. */
  tls: DatedCertificate;
  readonly #api: FastifyInstance;
  /** Who signs; a test may put another one here. */
  deviceCertificate: DeviceCertificates['deviceCertificate'];
  /** What is known of when to renew; a relay of an earlier day knows nothing. */
  deviceRenewalMs: DeviceCertificates['deviceRenewalMs'] = async () => undefined;
  /**
   * A device whose time a test lets pass would go back to today with every answer. Without this it does so
   * only when a certificate is signed, whose dates are of today as well.
   */
  tellsTime = true;
  /** Whether each answer ends its connection. */
  closes = false;
  /** Requests since the start, by method and path. */
  readonly asked: string[] = [];
  #server: Server | undefined;
  #port = 0;

  private constructor(parts: {
    readonly registry: Registry;
    readonly authority: Authority;
    readonly source: LocalCertificates;
    readonly folder: string;
    readonly tls: DatedCertificate;
  }) {
    this.registry = parts.registry;
    this.authority = parts.authority;
    this.source = parts.source;
    this.#folder = parts.folder;
    this.tls = parts.tls;
    this.deviceCertificate = ({ name, csr }) => this.sign(name, csrPublicKey(csr));
    this.#api = makeServer({ hostname: HOST, log, accessLog: false });
  }

  static async open(): Promise<DeviceRelay> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-device-relay-'));
    const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
    const registry = await openRegistry({ database, log });
    const authority = await createAuthority(ZONE);
    const { certPem: cert, keyPem: key } = await authority.issue([HOST]);
    const store = await openStore(join(folder, 'certificates'));
    const source = new LocalCertificates({ zone: ZONE, store, authority, log });
    const relay = new DeviceRelay({
      registry,
      authority,
      source,
      folder,
      tls: { cert, key, caPem: authority.caPem },
    });
    await relay.#route();
    await relay.comeBack();
    return relay;
  }

  get port(): number {
    return this.#port;
  }

  get address(): RelayAddress {
    const { publicKey: vendorKey } = this.vendorKey;
    const url = new URL(`wss://${HOST}:${this.#port}/`);
    return { url, vendorKey, ca: this.tls.caPem, address: '127.0.0.1' };
  }

  /** A device that holds these names. */
  async holder(...names: readonly string[]): Promise<SigningKey> {
    const key = generateKey('device');
    for (const text of names) {
      const enrolment = { name: deviceName(text), deviceKey: key.publicKey, actor: 'test' };
      await this.registry.enroll(enrolment);
    }
    return key;
  }

  api(deviceKey: SigningKey, clock = new Clock()): DeviceApi {
    return new DeviceApi({ relay: this.address, deviceKey, software: 'waygate/1.0.0', clock });
  }

  /** As the local authority does it. */
  async sign(name: DeviceName, publicKeyDer: Buffer) {
    const subject = hostname(`${name}.${ZONE}`);
    const signed = await this.authority.sign([subject, `*.${subject}`], publicKeyDer);
    const { certPem: chain } = signed;
    return { kind: 'issued' as const, chain, renewAtMs: renewAtMs(signed, undefined, 0.5) };
  }

  async goAway(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  async comeBack(): Promise<void> {
    const server = createServer(this.tls, (request, response) => {
      this.asked.push(`${request.method} ${request.url}`);
      response.sendDate = this.tellsTime || request.method !== 'GET';
      if (this.closes) response.setHeader('connection', 'close');
      this.#api.routing(request, response);
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway();
    await this.#api.close();
    await this.registry.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #route(): Promise<void> {
    const { registry, source } = this;
    await deviceRoutes(this.#api, {
      ...{ registry, zone: ZONE, hostname: HOST, vendorKey: this.vendorKey, log },
      portalOrigin: () => 'https://my.vendor.test',
      softwarePolicy: { refused: [] },
      notices: { renamed: () => async () => undefined, recoveryEnded: () => async () => undefined },
      domains: blindDomains({ registry, zone: ZONE, log }),
      certificates: {
        source,
        deviceCertificate: (wanted) => this.deviceCertificate(wanted),
        deviceRenewalMs: (certificate) => this.deviceRenewalMs(certificate),
      },
    });
    await this.#api.ready();
  }
}

export function deviceName(text: string): DeviceName {
  const name = parseDeviceName(text);
  if (name === undefined) throw new Error(`${text} is no device name`);
  return name;
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`${text} is no hostname`);
  return parsed;
}
