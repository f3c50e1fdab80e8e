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

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#child = child;
  }

  static async start(zone: Zone): Promise<KnotServer> {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-knot-'));
    const port = await freePort();
    writeFileSync(join(folder, 'zone'), zoneFile(zone));
    writeFileSync(join(folder, 'knot.conf'), configuration(folder, port, zone.apex));
    const child = spawn(findProgram('knotd') ?? 'knotd', ['-c', join(folder, 'knot.conf')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    const up = Promise.withResolvers<void>();
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        if (/server started/.test(line)) up.resolve();
      });
    }
    const late = setTimeout(() => up.reject(new Error(said.join('\n'))), STARTED_WITHIN_MS);
    child.on('exit', () => up.reject(new Error(`knotd ended: ${said.join('\n')}`)));
    await up.promise.finally(() => clearTimeout(late));
    return new KnotServer(port, folder, child);
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
