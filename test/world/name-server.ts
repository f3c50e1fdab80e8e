// `waygate dns` beside the relays of an installation, and questions to it: by dig, as the world asks, and
// by a socket of our own where milliseconds count.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import packet from 'dns-packet';
import { freePort } from './free-port.ts';
import { type Installation, ZONE } from './installation.ts';
import type { ProgramOptions, ProgramProcess } from './program-process.ts';
import { findProgram } from './requires.ts';

const QUESTION_MS = 2_000;

export class TestNameServer implements AsyncDisposable {
  readonly vendor: Installation;
  readonly port: number;
  readonly configFile: string;
  readonly #socket: Socket = createSocket('udp4');
  readonly #keyFile: string;

  private constructor(vendor: Installation, port: number) {
    this.vendor = vendor;
    this.port = port;
    this.configFile = join(vendor.folder, 'dns.yaml');
    this.#keyFile = join(vendor.folder, 'test.key');
  }

  /** With a TSIG key for whoever asks from here; not started yet. */
  static async make(vendor: Installation, more = ''): Promise<TestNameServer> {
    const server = new TestNameServer(vendor, await freePort());
    const secret = randomBytes(32).toString('base64');
    const secretFile = join(vendor.folder, 'test.tsig');
    writeFileSync(secretFile, secret, { mode: 0o600 });
    const key = `key "test-key" { algorithm hmac-sha256; secret "${secret}"; };\n`;
    writeFileSync(server.#keyFile, key, { mode: 0o600 });
    const registry = /^registry:.*$/m.exec(readFileSync(vendor.relayConfig, 'utf8'))?.[0];
    writeFileSync(
      server.configFile,
      `zone: ${ZONE}\nlisten: [{ host: 127.0.0.1, port: ${server.port} }]\n` +
        `${registry ?? `state: "${join(vendor.folder, 'relay')}"`}\n` +
        `nameServers:\n  - { host: ns1.${ZONE}, addresses: [127.0.0.1] }\n` +
        `  - { host: ns2.${ZONE}, addresses: ["::1"] }\n` +
        `caa: { issuers: [{ ca: ca.example, validationMethods: [dns-01] }] }\n` +
        `tsigKeys: [{ name: test-key, secretFile: test.tsig }]\n` +
        `secondaries: [{ name: test, address: 127.0.0.1, port: 9, key: test-key, notify: false }]\n` +
        `ops: { host: 127.0.0.1, port: 0 }\nresponsesPerSecond: 0\n${more}`,
    );
    return server;
  }

  async start(options?: ProgramOptions): Promise<ProgramProcess> {
    const program = this.vendor.run('dns', this.configFile, options);
    await program.ready();
    return program;
  }

  /** What `dig` prints. */
  async dig(...args: readonly string[]): Promise<string> {
    const place = ['@127.0.0.1', '-p', String(this.port), '+norecurse', '+tries=1', '+time=2'];
    const dig = findProgram('dig') ?? 'dig';
    const { stdout } = await promisify(execFile)(dig, [...place, ...args], { maxBuffer: 2 ** 28 });
    return stdout;
  }

  /** The records that `dig +short` prints, sorted. */
  async short(name: string, type: string): Promise<string[]> {
    const text = await this.dig('+short', name, type);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  }

  /** The same, signed with the key that the name server knows. */
  transfer(...args: readonly string[]): Promise<string> {
    return this.dig('-k', this.#keyFile, '+tcp', ZONE, ...args);
  }

  async serial(): Promise<number> {
    return Number((await this.short(ZONE, 'SOA'))[0]?.split(' ')[2]);
  }

  /** RCODE of a question for A, by one packet. */
  async rcode(name: string): Promise<string> {
    const id = randomBytes(2).readUInt16BE();
    const questions = [{ type: 'A' as const, name }];
    const heard = once(this.#socket, 'message', { signal: AbortSignal.timeout(QUESTION_MS) });
    this.#socket.send(packet.encode({ type: 'query', id, questions }), this.port, '127.0.0.1');
    const [message]: Buffer[] = await heard;
    if (message === undefined) throw new Error('no message');
    const answer: object = packet.decode(message);
    return 'rcode' in answer ? String(answer.rcode) : '';
  }

  /** Milliseconds until the name has that RCODE; the test's own timeout is the bound. */
  async msUntil(name: string, rcode: string): Promise<number> {
    const startedMs = performance.now();
    while ((await this.rcode(name)) !== rcode);
    return performance.now() - startedMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }
}
