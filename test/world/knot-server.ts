// A real Knot that serves a zone of ours from a zone file, as the judge of what an answer should be.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { rdataText } from '../../dns/rdata.ts';
import { typeName } from '../../dns/record.ts';
import type { Zone } from '../../dns/zone.ts';
import { freePort } from './public-name-server.ts';
import { findProgram } from './requires.ts';

/** It is up within a second; a loaded machine may take many. */
const STARTED_WITHIN_MS = 20_000;

export class KnotServer implements AsyncDisposable {
  readonly address = '127.0.0.1';
  readonly port: number;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #said: string[];
  /** Wakes who waits for a line of the log. */
  #line = Promise.withResolvers<void>();

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#child = child;
    this.#said = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.#said.push(line);
        this.#wake();
      });
    }
    child.once('exit', () => this.#wake());
  }

  static async start(zone: Zone): Promise<KnotServer> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-knot-'));
    const port = await freePort();
    writeFileSync(join(folder, 'zone'), zoneFile(zone));
    writeFileSync(join(folder, 'knot.conf'), configuration(folder, port, zone.apex));
    const child = spawn(findProgram('knotd') ?? 'knotd', ['-c', join(folder, 'knot.conf')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const server = new KnotServer(port, folder, child);
    await server.#hear(/server started/);
    return server;
  }

  /** Serves another version of the zone, whose serial is greater. */
  async serve(zone: Zone): Promise<void> {
    writeFileSync(join(this.#folder, 'zone'), zoneFile(zone));
    const from = this.#said.length;
    this.#child.kill('SIGHUP');
    await this.#hear(new RegExp(`loaded, serial \\d+ -> ${zone.serial},`), from);
  }

  /** Resolves at a line of the log, of those after the first `from`. */
  async #hear(pattern: RegExp, from = 0): Promise<void> {
    const late = AbortSignal.timeout(STARTED_WITHIN_MS);
    late.addEventListener('abort', () => this.#wake());
    while (!this.#said.slice(from).some((line) => pattern.test(line))) {
      if (late.aborted || this.#child.exitCode !== null) {
        throw new Error(`knotd does not say ${pattern}: ${this.#said.slice(-30).join('\n')}`);
      }
      await this.#line.promise;
    }
  }

  #wake(): void {
    this.#line.resolve();
    this.#line = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A zone as a zone file (RFC 1035, section 5). */
function zoneFile(zone: Zone): string {
  const lines: string[] = [];
  for (const { owner, set } of zone.records()) {
    for (const data of set.data) {
      lines.push(`${owner}. ${set.ttl} IN ${typeName(set.type)} ${rdataText(set.type, data)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function configuration(folder: string, port: number, apex: string): string {
  return `server:
    rundir: "${folder}"
    listen: 127.0.0.1@${port}
    udp-workers: 1
    tcp-workers: 1
    version: ""
    identity: ""
database:
    storage: "${folder}"
log:
  - target: stdout
    any: info
mod-cookies:
  - id: default
template:
  - id: default
    storage: "${folder}"
    zonefile-sync: -1
    journal-content: none
    global-module: mod-cookies/default
zone:
  - domain: ${apex}
    file: zone
`;
}
