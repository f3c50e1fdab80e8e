// What it takes to start with very many names in the registry: a relay, and a name server.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { relayFiles } from '../../relay/config.ts';
import { fillRegistry } from './names.ts';
import { cpuUs, memoryKib, message, type Processes } from './processes.ts';
import { number, table } from './report.ts';
import { startRelay, writeConfig, ZONE } from './waygate.ts';

/** For `--only`. */
export const NAMES = 'names';

const NAME = 'many-relay';

/** Measures and returns a Markdown part of the report. */
export async function manyNames(
  processes: Processes,
  folder: string,
  count: number,
): Promise<string> {
  const state = join(folder, NAME);
  mkdirSync(state, { mode: 0o700 });
  await fillRegistry(relayFiles({ state }).registry, count);
  const rows: string[][] = [];
  const config = writeConfig(folder, 'many-dns', {
    zone: ZONE,
    listen: [{ host: '127.0.0.1', port: 0 }],
    state,
    nameServers: [{ host: `ns1.${ZONE}`, addresses: ['127.0.0.1'] }],
    ops: { host: '127.0.0.1', port: 0 },
  });
  const startDns = async () => {
    const child = processes.start('many-dns', 'waygate.ts', ['dns', '--config', config]);
    await message(child, (value) => value['event'] === 'ready');
    return child;
  };
  const programs = [
    ['name server, the first time (all is published)', startDns],
    ['name server', startDns],
    ['relay', async () => (await startRelay(processes, folder, NAME)).child],
  ] as const;
  for (const [title, start] of programs) {
    const begunMs = performance.now();
    const child = await start();
    const seconds = (performance.now() - begunMs) / 1_000;
    const pid = child.pid ?? 0;
    const memory = (['VmRSS', 'VmHWM'] as const).map((kind) =>
      number(memoryKib(pid, kind) / 1_024, 0),
    );
    rows.push([title, number(seconds, 1), number(cpuUs(pid) / 1_000_000, 1), ...memory]);
    await processes.stop(child);
  }
  const head = ['', 'ready after s', 'CPU s', 'memory MiB', 'peak MiB'];
  return `## Start with ${number(count, 0)} names\n\n${table(head, rows)}`;
}
