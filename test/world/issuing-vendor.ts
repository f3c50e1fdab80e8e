// A vendor whose certificates a real Pebble signs, which looks at our own name server: relays that may die at
// any moment, and what is asked after each death: is each certificate that the authority has signed in
// the ledger, once? Does each key open and fit? Is it what visitors are shown?
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { Envelope } from '../../certs/envelope.ts';
import { relayFiles } from '../../relay/config.ts';
import { generateKey } from '../../relay/protocol/key.ts';
import { aboutCertificate } from '../../relay/registry/certificates/sealed-about.ts';
import { deviceName, worldIn } from '../relay/registry/fixture.ts';
import type { Query } from '../relay/registry/killed-writers.ts';
import { Installation, ZONE } from './installation.ts';
import { PebbleServer } from './pebble.ts';
import type { PostgresServer } from './postgres.ts';
import type { ProgramProcess } from './program-process.ts';
import { freePort } from './public-name-server.ts';
import { shownCertificate } from './shown-certificate.ts';
import { type Door, until } from './visits.ts';

export interface IssuingVendorOptions {
  /** The registry's; absent: SQLite. */
  readonly postgres?: PostgresServer;
  readonly validitySeconds: number;
  /** A Pebble that has profiles and renewal windows: the relays ask for a profile with that validity. */
  readonly newerPebble?: string;
}

/** A relay: the first one listens on 127.0.0.1, the second on 127.0.0.2. */
export type RelayId = 'one' | 'two';

/** What a dead relay has left. */
export interface Death {
  readonly relay: RelayId;
  /** Work that it had taken, and how much of that with an order that had begun. */
  readonly held: number;
  readonly ordered: number;
  /** Certificates that the authority has signed, and nobody has stored. */
  readonly unstored: number;
}

export interface LedgerRow {
  readonly id: number | string;
  readonly subject: string;
  readonly purpose: string;
  readonly serial: string;
  readonly key: string | null;
  readonly chain: string;
  readonly names: string;
  readonly issued_at: number | string;
  readonly replaced_at: number | string | null;
}

/** Within that, a relay starts and finds what is due. */
const ORDERS_WITHIN_MS = 60_000;
/** After it, all that is ordered at once is through. */
const QUIET_MS = 2_000;

const PROFILE = 'waygate';

/** Handshakes at the same time. */
const LANES = 4;

export class IssuingVendor implements AsyncDisposable {
  readonly installation: Installation;
  readonly pebble: PebbleServer;
  /** Runs SQL on the database as a stranger would. */
  readonly query: Query;
  /** Of certificates that the relay has: `box-a.vendor.test`, and the zone. */
  readonly subjects: string[] = [ZONE];
  /** Serial numbers of certificates that were issued, and that the registry knows nothing of any more. */
  readonly #forgotten: string[] = [];

  private constructor(installation: Installation, pebble: PebbleServer, query: Query) {
    this.installation = installation;
    this.pebble = pebble;
    this.query = query;
  }

  /** The name server runs; relays do not. */
  static async make(options: IssuingVendorOptions): Promise<IssuingVendor> {
    const { postgres, validitySeconds, newerPebble: program } = options;
    const postgresUrl = await postgres?.createDatabase();
    const installation = await Installation.make({
      drainSeconds: 0,
      ...(postgresUrl === undefined ? {} : { postgresUrl }),
    });
    const port = await freePort();
    const pebble = await PebbleServer.start({
      ...{ dnsServer: `127.0.0.1:${port}`, validitySeconds },
      ...{ strict: true, nonceRejectPercent: 20, authzReusePercent: 0 },
      ...(program === undefined ? {} : { program, profiles: profiles(validitySeconds) }),
    });
    installation.trust(await pebble.rootPem());
    const more = program === undefined ? '' : `, profile: ${PROFILE}`;
    writeConfigs(installation, pebble, { dnsPort: port, more });
    const query: Query =
      postgres === undefined || postgresUrl === undefined
        ? worldIn(join(installation.folder, 'relay')).query
        : (sql) => postgres.query(postgresUrl, sql);
    const vendor = new IssuingVendor(installation, pebble, query);
    await installation.run('dns', join(installation.folder, 'dns.yaml')).ready();
    return vendor;
  }

  /** It may not be ready: it waits for its first certificate. */
  run(id: RelayId): ProgramProcess {
    return this.installation.run('relay', join(this.installation.folder, configOf(id)));
  }

  door(id: RelayId = 'one'): Door {
    const { port, caPem } = this.installation;
    return { address: id === 'one' ? '127.0.0.1' : '127.0.0.2', port, caPem };
  }

  /** All in one go; nobody has the devices. */
  async enroll(count: number): Promise<void> {
    const names = Array.from({ length: count }, (_, at) => nameOf(this.subjects.length + at));
    await this.installation.withRegistry(async (registry) => {
      for (const text of names) {
        const { publicKey: deviceKey } = generateKey('device');
        await registry.enroll({ name: deviceName(text), deviceKey, actor: 'test' });
      }
    });
    this.subjects.push(...names.map((name) => `${name}.${ZONE}`));
  }

  /** A device that serves; its name is one of those that have certificates. */
  async device(name: string, workspaces: Readonly<Record<string, string>>): Promise<void> {
    const files = await this.installation.device(name, workspaces);
    this.subjects.push(`${name}.${ZONE}`);
    await files.start();
  }

  /** Kills it when the authority has said so many lines more: in the midst of orders. 0: now. */
  async kill(id: RelayId, relay: ProgramProcess, lines: number): Promise<Death> {
    await this.#said(lines);
    await relay.end('SIGKILL');
    expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
    const work = await this.query(
      `select order_url from certificate_work where leased_by like '${id} %'`,
    );
    const [{ stored } = {}] = await this.query('select count(*) as stored from certificates');
    return {
      ...{ relay: id, held: work.length },
      ordered: work.filter(({ order_url: url }) => url !== null).length,
      unstored: this.pebble.issued.length - Number(stored),
    };
  }

  /** So many lines, or fewer when it says nothing more. */
  async #said(lines: number): Promise<void> {
    const { pebble } = this;
    if (lines === 0) return;
    const from = pebble.lines;
    let last = { lines: from, atMs: performance.now() };
    const done = () => {
      if (pebble.lines !== last.lines) last = { lines: pebble.lines, atMs: performance.now() };
      if (pebble.lines >= from + lines) return true;
      return pebble.lines > from && performance.now() - last.atMs > QUIET_MS;
    };
    await until(done, ORDERS_WITHIN_MS, 'the authority to be asked');
  }

  /** As though the minute were over after which others take what a dead relay had. */
  async endLeasesOf(id: RelayId): Promise<void> {
    await this.query(
      `update certificate_work set leased_until = 0 where leased_by like '${id} %' returning fence`,
    );
  }

  /** As though it had been issued, and were due, so many days earlier. */
  async daysPass(days: number): Promise<void> {
    const ms = days * 86_400_000;
    await this.query(
      `update certificates set not_before = not_before - ${ms}, not_after = not_after - ${ms}, ` +
        `issued_at = issued_at - ${ms} where replaced_at is null returning id`,
    );
    await this.query(
      `update certificate_work set due_at = due_at - ${ms} where certificate_id is not null ` +
        'returning fence',
    );
    await this.query(`update certificate_orders set at = at - ${ms} returning id`);
  }

  /** From now on the authority wants what it has issued to be renewed then; relays ask when they look. */
  async wantRenewal(window: { start: Date; end: Date }): Promise<void> {
    for (const { chain } of await this.present()) await this.pebble.setRenewalWindow(chain, window);
    await this.query(
      'update certificates set window_due_at = 0 where replaced_at is null returning id',
    );
  }

  /** As though the registry came out of a backup in which these were the present certificates. */
  async putBack(rows: readonly LedgerRow[]): Promise<void> {
    for (const { subject, id, key } of rows) {
      const certificate = `purpose = 'relay' and subject = '${subject}'`;
      await this.query(
        `update certificate_work set certificate_id = ${id} where ${certificate} returning fence`,
      );
      const gone = await this.query(
        `delete from certificates where ${certificate} and replaced_at is null returning serial`,
      );
      this.#forgotten.push(...gone.map(({ serial }) => String(serial)));
      await this.query(
        `update certificates set replaced_at = null, key = '${key}', window_due_at = 0 ` +
          `where id = ${id} returning id`,
      );
    }
  }

  ledger(): Promise<readonly LedgerRow[]> {
    return this.query('select * from certificates order by id') as Promise<never>;
  }

  /** Those of the relay that are served. */
  async present(): Promise<LedgerRow[]> {
    const rows = await this.ledger();
    return rows.filter((row) => row.replaced_at === null && row.purpose === 'relay');
  }

  /** Of the relay's own certificates, each was issued at least so many times, and nothing is under way. */
  async untilIssued(times: number, withinMs: number): Promise<void> {
    const issued = async () => {
      const rows = await this.ledger();
      const counts = Map.groupBy(rows, ({ purpose, subject }) => `${purpose} ${subject}`);
      const enough = this.subjects.every(
        (subject) => (counts.get(`relay ${subject}`)?.length ?? 0) >= times,
      );
      if (!enough) return false;
      const busy = await this.query(
        'select subject from certificate_work where leased_by is not null',
      );
      return busy.length === 0;
    };
    const what = `${this.subjects.length} certificates, ${times} times`;
    await until(issued, withinMs, what).catch(async (error: Error) => {
      const work = await this.query(
        'select subject, purpose, due_at, leased_by, leased_until, attempts, last_error ' +
          'from certificate_work order by due_at limit 5',
      );
      throw new Error(`${error.message}: ${JSON.stringify({ now: Date.now(), work })}`);
    });
  }

  /** Each certificate that the authority has signed was stored once, and each key opens and fits. */
  async expectWhole(): Promise<void> {
    const rows = await this.ledger();
    const number = (serial: string) => BigInt(`0x${serial}`).toString(16);
    const known = [...rows.map(({ serial }) => serial), ...this.#forgotten];
    expect(known.map(number).sort()).toEqual(this.pebble.issued.map(number).sort());
    const own = await this.present();
    expect(own.map(({ subject }) => subject).sort()).toEqual(this.subjects.toSorted());
    const { folder } = this.installation;
    const envelope = await Envelope.open(relayFiles({ state: join(folder, 'relay') }).envelopeKey);
    for (const { subject, key, chain, names } of own) {
      expect(JSON.parse(names)).toEqual([`*.${subject}`, subject]);
      const pem = envelope.open(key ?? '', aboutCertificate(subject));
      const leaf = new X509Certificate(chain);
      expect(leaf.checkPrivateKey(createPrivateKey(pem))).toBe(true);
      expect(leaf.subjectAltName).toBe(`DNS:*.${subject}, DNS:${subject}`);
    }
    const keyed = rows.filter((row) => row.replaced_at !== null && row.key !== null);
    expect(keyed.map(({ subject }) => subject)).toEqual([]);
    const faults = await this.query(
      'select subject, attempts, last_error, order_url from certificate_work ' +
        "where purpose = 'relay' and (attempts > 0 or last_error is not null or order_url is not null)",
    );
    expect(faults).toEqual([]);
  }

  /** That visitors are shown the present certificate of each, soon, in handshakes that hold. */
  async expectServed(id: RelayId = 'one', withinMs = 20_000): Promise<void> {
    const own = await this.present();
    const lane = async () => {
      for (let row = own.pop(); row !== undefined; row = own.pop()) {
        const { subject, chain } = row;
        const wanted = new X509Certificate(chain).fingerprint256;
        const shows = async () => {
          const shown = await shownCertificate(this.door(id), `hello.${subject}`);
          return shown.fingerprint256 === wanted;
        };
        await until(shows, withinMs, `the certificate of ${subject}`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.installation[Symbol.asyncDispose]();
    await this.pebble[Symbol.asyncDispose]();
  }
}

function configOf(id: RelayId): string {
  return id === 'one' ? 'relay.yaml' : 'relay2.yaml';
}

/** Numbers in letters of which no two look alike. */
function nameOf(at: number): string {
  const letters = Array.from(at.toString(8), (digit) => 'abefghkp'[Number(digit)]);
  return `box-${letters.join('')}`;
}

/** Who asks for none gets any of them. */
function profiles(validitySeconds: number): Record<string, number> {
  return { [PROFILE]: validitySeconds, other: 2 * validitySeconds };
}

function writeConfigs(
  installation: Installation,
  pebble: PebbleServer,
  { dnsPort, more }: { readonly dnsPort: number; readonly more: string },
): void {
  const { folder, relayConfig, port } = installation;
  const first = readFileSync(relayConfig, 'utf8');
  const budget = 'budget: { ordersPer3Hours: 10000, certificatesPerWeek: 10000 }';
  appendFileSync(
    relayConfig,
    `id: one\ncertificates: { authorities: [{ name: pebble, directory: "${pebble.directoryUrl}", ` +
      `caFile: "${pebble.caFile}", ${budget}${more} }] }\n`,
  );
  const listen = `listen: { host: "127.0.0.2", port: ${port} }`;
  const second = readFileSync(relayConfig, 'utf8').replace(/^listen:.*$/m, listen);
  writeFileSync(join(folder, 'relay2.yaml'), second.replace('id: one', 'id: two'));
  const registry = /^registry:.*$/m.exec(first)?.[0] ?? `state: "${join(folder, 'relay')}"`;
  writeFileSync(
    join(folder, 'dns.yaml'),
    `zone: ${ZONE}\nlisten: [{ host: 127.0.0.1, port: ${dnsPort} }]\n${registry}\n` +
      `nameServers: [{ host: ns1.${ZONE}, addresses: [127.0.0.1], port: ${dnsPort} }]\n` +
      'ops: { host: 127.0.0.1, port: 0 }\nresponsesPerSecond: 0\n',
  );
}
