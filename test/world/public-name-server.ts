// Knot, NSD or BIND as public name server of a zone that we make, each with its own file of deploy/dns/,
// in which only addresses, ports and paths are replaced. State lies in a temporary folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PublicServer } from '../../dns/propagation.ts';
import { findProgram } from './requires.ts';

export type Software = 'knot' | 'knot-signer' | 'nsd' | 'bind';

interface Kind {
  readonly program: string;
  readonly file: string;
  /** Where the configuration and the key are, before the folder is put in front. */
  readonly config: string;
  readonly key: string;
  readonly folders: readonly string[];
  readonly started: RegExp;
  readonly command: (config: string) => readonly string[];
}

const KNOT: Kind = {
  program: 'knotd',
  file: 'knot.conf',
  config: '/etc/knot/knot.conf',
  key: '/etc/knot/waygate-key.conf',
  folders: ['/run/knot', '/var/lib/knot/zones'],
  started: /server started/,
  command: (config) => ['-c', config],
};

const KINDS: Readonly<Record<Software, Kind>> = {
  knot: KNOT,
  'knot-signer': { ...KNOT, file: 'knot-signer.conf' },
  nsd: {
    program: 'nsd',
    file: 'nsd.conf',
    config: '/etc/nsd/nsd.conf',
    key: '/etc/nsd/waygate-key.conf',
    folders: ['/run/nsd', '/var/lib/nsd'],
    started: /nsd started/,
    // In the foreground, as whoever runs the tests.
    command: (config) => ['-d', '-u', userName(), '-c', config],
  },
  bind: {
    program: 'named',
    file: 'named.conf',
    config: '/etc/bind/named.conf',
    key: '/etc/bind/waygate-key.conf',
    folders: ['/run/named', '/var/cache/bind'],
    started: / running$/,
    // In the foreground, log to stderr, one thread.
    command: (config) => ['-g', '-n', '1', '-c', config],
  },
};

/** Each of them is up within a second; a loaded machine may take many. */
const STARTED_WITHIN_MS = 20_000;

export const NAME_SERVER_KEY = 'ns1-key';
/** Of the key ns1-key, in base64. */
export const NAME_SERVER_SECRET = Buffer.alloc(32, 'waygate test key').toString('base64');

export class PublicNameServer implements AsyncDisposable {
  readonly software: Software;
  readonly address = '127.0.0.1';
  readonly port: number;
  readonly log: string[] = [];
  readonly #folder: string;
  #child: ChildProcess | undefined;

  private constructor(software: Software, folder: string, port: number) {
    this.software = software;
    this.#folder = folder;
    this.port = port;
  }

  static async start(
    software: Software,
    primaryPort: number,
    ownPort?: number,
  ): Promise<PublicNameServer> {
    const folder = mkdtempSync(join(tmpdir(), `waygate-${software}-`));
    const server = new PublicNameServer(software, folder, ownPort ?? (await freePort()));
    const { file, config, key, folders } = KINDS[software];
    for (const each of [dirname(config), ...folders])
      mkdirSync(join(folder, each), { recursive: true });
    const text = readFileSync(join('deploy/dns', file), 'utf8');
    writeFileSync(join(folder, config), localized(text, folder, [server.port, primaryPort]));
    writeFileSync(join(folder, key), keyText(software), { mode: 0o640 });
    try {
      await server.run();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** Starts it, or starts it again with the state that it has. */
  async run(): Promise<void> {
    const { program, config, command, started } = KINDS[this.software];
    const path = findProgram(program) ?? program;
    const child = spawn(path, command(join(this.#folder, config)), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    // Whatever ends this process, no server outlives it.
    const orphaned = () => child.kill('SIGKILL');
    process.once('exit', orphaned);
    child.once('exit', () => process.off('exit', orphaned));
    const up = Promise.withResolvers<void>();
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.log.push(line);
        if (started.test(line)) up.resolve();
      });
    }
    child.on('exit', (code) => up.reject(new Error(`${program} ended (${code}): ${this.words()}`)));
    const late = setTimeout(
      () => up.reject(new Error(`${program} did not start: ${this.words()}`)),
      STARTED_WITHIN_MS,
    );
    await up.promise.finally(() => clearTimeout(late));
  }

  /** As whoever asks it knows it. */
  named(): PublicServer {
    return { name: this.software, addresses: [this.address], port: this.port };
  }

  /** Of the process alone, without those that it has started: NSD answers on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** How many lines of its log, of those after the first `from`, match. */
  count(pattern: RegExp, from = 0): number {
    return this.log.slice(from).filter((line) => pattern.test(line)).length;
  }

  words(): string {
    return this.log.slice(-30).join('\n');
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    child.kill('SIGCONT');
    const hard = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(hard);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The file as it is shipped, on this machine: documentation addresses, port 53 and system folders. */
function localized(text: string, folder: string, [port, primaryPort]: readonly number[]): string {
  return text
    .replaceAll(/192\.0\.2\.1@53/g, `127.0.0.1@${primaryPort}`)
    .replaceAll(/192\.0\.2\.1 port 53/g, `127.0.0.1 port ${primaryPort}`)
    .replaceAll('192.0.2.1', '127.0.0.1')
    .replaceAll(/198\.51\.100\.1@53/g, `127.0.0.1@${port}`)
    .replaceAll('198.51.100.1', '127.0.0.1')
    .replaceAll(/2001:db8::1@53/g, `127.0.0.2@${port}`)
    .replaceAll('2001:db8::1', '::1')
    .replaceAll(/\bport 53 \{/g, `port ${port} {`)
    .replaceAll(/"\/(?=(etc|run|var)\/)/g, `"${folder}/`);
}

/** As deploy/dns/README.md shows it for each, with our secret in it. */
function keyText(software: Software): string {
  const readme = readFileSync('deploy/dns/README.md', 'utf8');
  const [, knot, nsd, bind] = KEY_FORMS.exec(readme) ?? [];
  const form = { knot, 'knot-signer': knot, nsd, bind }[software];
  if (form?.includes('THE-SECRET') !== true)
    throw new Error(`README.md has no key for ${software}`);
  return `${form.replace('THE-SECRET', NAME_SERVER_SECRET)}\n`;
}

const KEY_FORMS = /^# Knot: .*\n([^`]*?)\n\n# NSD: .*\n([^`]*?)\n\n\/\/ BIND: .*\n([^`]*?)\n```$/m;

function userName(): string {
  return process.getuid?.() === 0 ? 'root' : (process.env['USER'] ?? 'nobody');
}

/** Free for UDP and for TCP on all of 127/8. Somebody could take it meanwhile; nobody does. */
export async function freePort(): Promise<number> {
  const tcp = createServer();
  tcp.listen(0, '0.0.0.0');
  await once(tcp, 'listening');
  const address = tcp.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const udp = createSocket('udp4');
  try {
    udp.bind(address.port, '0.0.0.0');
    await once(udp, 'listening');
    return address.port;
  } catch {
    return await freePort();
  } finally {
    udp.close();
    tcp.close();
    await once(tcp, 'close');
  }
}
