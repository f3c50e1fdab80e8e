// A real recursive resolver: BIND, which knows where a few zones are served and that there is nothing
// else. It keeps answers for no longer than a second, and `forget` throws those away too.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { DnsPlace } from './dns-client.ts';
import { freePort } from './public-name-server.ts';
import { findProgram } from './requires.ts';
import { until } from './visits.ts';

/** It is up within a second; a loaded machine may take many. */
const STARTED_WITHIN_MS = 20_000;

/** Threads go on for a moment after the signal; on a loaded machine for longer. */
const STANDS_WITHIN_MS = 5_000;

/** A zone, and the name servers that serve it. */
export interface DelegatedZone {
  readonly zone: string;
  readonly servers: readonly DnsPlace[];
}

export class RecursiveResolver implements AsyncDisposable {
  /** Where it listens, as `domains: resolvers:` of relay.yaml has it. */
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly #controlPort: number;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(ports: readonly [number, number], folder: string, child: ChildProcess) {
    [this.port, this.#controlPort] = ports;
    this.#folder = folder;
    this.#child = child;
  }

  static async start(zones: readonly DelegatedZone[]): Promise<RecursiveResolver> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-resolver-'));
    const [port, controlPort] = [await freePort(), await freePort()];
    const secret = randomBytes(32).toString('base64');
    const key = `key "control" { algorithm hmac-sha256; secret "${secret}"; };\n`;
    writeFileSync(join(folder, 'control.key'), key, { mode: 0o600 });
    writeFileSync(join(folder, 'root.zone'), rootZone(zones));
    writeFileSync(join(folder, 'named.conf'), configuration({ folder, port, controlPort, zones }));
    const command = ['-g', '-n', '1', '-c', join(folder, 'named.conf')];
    const child = spawn(findProgram('named') ?? 'named', command, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Whatever ends this process, no server outlives it.
    const orphaned = () => child.kill('SIGKILL');
    process.once('exit', orphaned);
    child.once('exit', () => process.off('exit', orphaned));
    const said: string[] = [];
    const up = Promise.withResolvers<void>();
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        if (/ running$/.test(line)) up.resolve();
      });
    }
    child.on('exit', () => up.reject(new Error(`named ended: ${said.slice(-30).join('\n')}`)));
    const late = setTimeout(
      () => up.reject(new Error(`named did not start: ${said.slice(-30).join('\n')}`)),
      STARTED_WITHIN_MS,
    );
    const resolver = new RecursiveResolver([port, controlPort], folder, child);
    try {
      await up.promise;
    } catch (error) {
      await resolver[Symbol.asyncDispose]();
      throw error;
    } finally {
      clearTimeout(late);
    }
    return resolver;
  }

  /** What was changed a moment ago is seen by the next question. */
  async forget(): Promise<void> {
    const place = ['-s', '127.0.0.1', '-p', String(this.#controlPort)];
    const command = [...place, '-k', join(this.#folder, 'control.key'), 'flush'];
    await promisify(execFile)(findProgram('rndc') ?? 'rndc', command);
  }

  /** SIGSTOP: it stands still when this resolves, each of its threads, and nobody gets an answer. */
  async signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.#child.kill(signal);
    if (signal === 'SIGCONT') return;
    await until(() => standsStill(this.#child.pid), STANDS_WITHIN_MS, 'named standing still');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGCONT');
      this.#child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Delegates the zones, whose servers are told by `forwarders`, for glue has no port. */
function rootZone(zones: readonly DelegatedZone[]): string {
  const lines = [
    '. 0 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 0',
    '. 0 IN NS ns.invalid.',
  ];
  for (const { zone } of zones) lines.push(`${zone}. 0 IN NS ns.invalid.`);
  return `${lines.join('\n')}\nns.invalid. 0 IN A 127.0.0.1\n`;
}

function configuration({
  folder,
  port,
  controlPort,
  zones,
}: {
  readonly folder: string;
  readonly port: number;
  readonly controlPort: number;
  readonly zones: readonly DelegatedZone[];
}): string {
  const forwards = zones.map(({ zone, servers }) => {
    const places = servers.map((server) => `${server.address} port ${server.port};`).join(' ');
    return `zone "${zone}" { type forward; forward only; forwarders { ${places} }; };`;
  });
  return `options {
  directory "${folder}";
  pid-file none;
  session-keyfile "${folder}/session.key";
  listen-on port ${port} { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion yes;
  allow-query { any; };
  dnssec-validation no;
  empty-zones-enable no;
  qname-minimization off;
  max-cache-ttl 0;
  max-ncache-ttl 0;
  servfail-ttl 0;
  prefetch 0;
  check-names primary ignore;
};
include "${folder}/control.key";
controls { inet 127.0.0.1 port ${controlPort} allow { 127.0.0.1; } keys { "control"; }; };
zone "." { type primary; file "root.zone"; };
${forwards.join('\n')}
`;
}

/** `1234 (named) T ...` in all of its threads. */
function standsStill(pid = 0): boolean {
  const threads = `/proc/${pid}/task`;
  return readdirSync(threads).every((id) =>
    /\) T /.test(readFileSync(`${threads}/${id}/stat`, 'utf8')),
  );
}
