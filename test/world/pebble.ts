// A real Pebble, the certificate authority of Let's Encrypt's makers for tests: on free ports, with a TLS
// certificate of its own, and forgetting everything when it ends. Debian's 2.4.0 knows neither profiles
// nor renewal windows; a newer build does, where the machine has one (`newerPebble`).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { createAuthority } from '../../certs/authority.ts';
import { parseHostname } from '../../dns/name.ts';
import { freePort } from './free-port.ts';
import { findProgram } from './requires.ts';

const PEBBLE_LIMITS = {
  /** It is up within 50 ms; a loaded machine may take long. */
  startedWithinMs: 20_000,
  /** Between two questions whether it answers. */
  lookMs: 10,
  /** It answers within milliseconds. */
  requestMs: 10_000,
  /** A thousand orders' worth, for whoever reads why a test failed. */
  logLinesMax: 5_000,
} as const;

export interface PebbleOptions {
  /** `address:port` of the name server that it validates over. Absent: the machine's own. */
  readonly dnsServer?: string;
  /** It takes every proof for valid without looking. */
  readonly alwaysValid?: true;
  /** Where http-01 and tls-alpn-01 are looked for; absent: ports where nobody listens. */
  readonly httpPort?: number;
  readonly tlsPort?: number;
  /** Of a hundred requests, how many are refused for their nonce. None unless told. */
  readonly nonceRejectPercent?: number;
  /** Of a hundred authorizations, how many are valid from the start. None unless told. */
  readonly authzReusePercent?: number;
  /** Key id and HMAC key in base64url; with any, an account needs one of them. */
  readonly externalAccounts?: Readonly<Record<string, string>>;
  readonly validitySeconds?: number;
  readonly strict?: true;
  /** Further roots, each the end of a chain of its own. */
  readonly alternateRoots?: number;
  /** Profiles by name, with the seconds that they are valid; only a newer build has them. */
  readonly profiles?: Readonly<Record<string, number>>;
  /** Absent: Debian's. */
  readonly program?: string;
  /** Where it listens; a Pebble that comes back after an outage takes the one before. */
  readonly port?: number;
}

const ISSUED = /Issued certificate serial ([0-9a-f]+) for order/;
const REPLACED = /Order \S+ has been marked as replaced/;

/** A Pebble that knows profiles and renewal windows; undefined: this machine has none. */
export function newerPebble(): string | undefined {
  return findProgram('pebble-newer');
}

export class PebbleServer implements AsyncDisposable {
  readonly port: number;
  readonly directoryUrl: string;
  /** The certificate authority of the directory's own certificate. */
  readonly caPem: string;
  /** The same in a file, for programs. */
  readonly caFile: string;
  readonly log: string[] = [];
  /** How many lines it has said, also those that are not in `log` any more. */
  lines = 0;
  /** The serial numbers of all certificates that it has issued, in hexadecimal. */
  readonly issued: string[] = [];
  /** How many of them were issued for another one, by its name (RFC 9773, section 5); a newer build tells. */
  replaced = 0;
  readonly #managementUrl: string;
  readonly #agent: Agent;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(folder: string, options: PebbleOptions, parts: Parts) {
    this.port = parts.port;
    this.directoryUrl = `https://localhost:${parts.port}/dir`;
    this.caPem = parts.caPem;
    this.caFile = join(folder, 'ca.pem');
    this.#managementUrl = `https://localhost:${parts.managementPort}`;
    this.#agent = new Agent({ ca: parts.caPem, keepAlive: true });
    this.#folder = folder;
    const program = options.program ?? findProgram('pebble') ?? 'pebble';
    this.#child = spawn(program, commandLine(folder, options), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(options),
    });
    const child = this.#child;
    // Whatever ends this process, no server outlives it.
    const orphaned = () => child.kill('SIGKILL');
    process.once('exit', orphaned);
    child.once('exit', () => process.off('exit', orphaned));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.lines += 1;
        if (this.log.push(line) > PEBBLE_LIMITS.logLinesMax) this.log.shift();
        const [, serial] = ISSUED.exec(line) ?? [];
        if (serial !== undefined) this.issued.push(serial);
        if (REPLACED.test(line)) this.replaced += 1;
      });
    }
  }

  static async start(options: PebbleOptions = {}): Promise<PebbleServer> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-pebble-'));
    const parts = await writeParts(folder, options);
    const server = new PebbleServer(folder, options, parts);
    try {
      await server.#up();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** The root that its certificates lead to; another one at every start. */
  rootPem(index = 0): Promise<string> {
    return this.#manage(`/roots/${index}`);
  }

  /** What it knows of a certificate that it has issued: `Valid`, `Revoked`. */
  async statusOf(serial: string): Promise<string> {
    const hex = BigInt(`0x${serial}`).toString(16);
    return JSON.parse(await this.#manage(`/cert-status-by-serial/${hex}`)).Status;
  }

  /** What it tells of a certificate's renewal from now on; only a newer build does. */
  async setRenewalWindow(certPem: string, window: { start: Date; end: Date }): Promise<void> {
    const suggestedWindow = { start: window.start.toISOString(), end: window.end.toISOString() };
    await this.#manage('/set-renewal-info/', {
      certificate: certPem,
      ariResponse: JSON.stringify({ suggestedWindow }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #up(): Promise<void> {
    const deadlineMs = performance.now() + PEBBLE_LIMITS.startedWithinMs;
    for (;;) {
      const failure = await Promise.all([this.#send(this.directoryUrl), this.rootPem()]).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) return;
      if (this.#child.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`Pebble does not start: ${this.log.join('\n')}`, { cause: failure });
      }
      await pause(PEBBLE_LIMITS.lookMs);
    }
  }

  #manage(path: string, body?: unknown): Promise<string> {
    return this.#send(this.#managementUrl + path, body);
  }

  async #send(url: string, body?: unknown): Promise<string> {
    const signal = AbortSignal.timeout(PEBBLE_LIMITS.requestMs);
    const method = body === undefined ? 'GET' : 'POST';
    const headers = { 'user-agent': 'waygate-test' };
    const sent = request(url, { agent: this.#agent, method, signal, headers });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = await once(sent, 'response');
    const answer = await text(response);
    if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode} ${answer}`);
    return answer;
  }
}

interface Parts {
  readonly port: number;
  readonly managementPort: number;
  readonly caPem: string;
}

async function writeParts(folder: string, options: PebbleOptions): Promise<Parts> {
  const host = parseHostname('localhost');
  if (host === undefined) throw new Error('localhost is a hostname');
  const authority = await createAuthority(host);
  const { certPem, keyPem } = await authority.issue([host]);
  const [free, managementPort, httpPort, tlsPort] = await Promise.all(
    Array.from({ length: 4 }, freePort),
  );
  const port = options.port ?? free ?? 0;
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  file('ca.pem', authority.caPem);
  const { externalAccounts, validitySeconds, profiles } = options;
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: file('cert.pem', certPem),
    privateKey: file('key.pem', keyPem),
    httpPort: options.httpPort ?? httpPort,
    tlsPort: options.tlsPort ?? tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: externalAccounts !== undefined,
    ...(externalAccounts === undefined ? {} : { externalAccountMACKeys: externalAccounts }),
    ...(validitySeconds === undefined ? {} : { certificateValidityPeriod: validitySeconds }),
    ...(profiles === undefined ? {} : { profiles: profileList(profiles), keyAlgorithm: 'ecdsa' }),
    ...(options.program === undefined ? {} : { retryAfter: { authz: 1, order: 1 } }),
  };
  file('pebble.json', JSON.stringify({ pebble }));
  return { port, managementPort: managementPort ?? 0, caPem: authority.caPem };
}

function profileList(profiles: Readonly<Record<string, number>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(profiles).map(([name, validityPeriod]) => [
      name,
      { description: `${validityPeriod} seconds`, validityPeriod },
    ]),
  );
}

function commandLine(folder: string, options: PebbleOptions): string[] {
  return [
    ...['-config', join(folder, 'pebble.json')],
    `-strict=${options.strict === true}`,
    ...(options.dnsServer === undefined ? [] : ['-dnsserver', options.dnsServer]),
  ];
}

function environment(options: PebbleOptions): Record<string, string> {
  return {
    // On two cores it locks itself up now and then: it takes the read lock of an order twice, and whoever
    // wants to write in between keeps both waiting for ever.
    GOMAXPROCS: '1',
    PEBBLE_VA_NOSLEEP: '1',
    PEBBLE_WFE_NONCEREJECT: String(options.nonceRejectPercent ?? 0),
    PEBBLE_AUTHZREUSE: String(options.authzReusePercent ?? 0),
    PEBBLE_ALTERNATE_ROOTS: String(options.alternateRoots ?? 0),
    ...(options.alwaysValid === true ? { PEBBLE_VA_ALWAYS_VALID: '1' } : {}),
  };
}
