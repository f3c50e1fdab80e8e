// Our name server beside Knot and NSD: one zone of many names, the same questions to each by dnsperf,
// over UDP and over pipelined TCP. Every system has one process (thread) that answers.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { rdataText } from '../../dns/rdata.ts';
import { typeName } from '../../dns/record.ts';
import { relayFiles } from '../../relay/config.ts';
import { FOLLOW_SERIAL } from '../../relay/registry/reader.ts';
import { openRegistry } from '../../relay/registry/registry.ts';
import { openZoneFeed } from '../../relay/registry/zone-feed.ts';
import { findProgram } from '../world/requires.ts';
import { benchName, fillRegistry } from './names.ts';
import { cpuUs, freePort, listening, memoryKib, message, type Processes } from './processes.ts';
import { median, number, table } from './report.ts';
import { writeConfig, ZONE } from './waygate.ts';

/** For `--only`. */
export const DNS = 'dns';

export interface DnsPlan {
  readonly names: number;
  readonly rounds: number;
  readonly seconds: number;
}

const TRANSPORTS = ['udp', 'tcp'] as const;
type Transport = (typeof TRANSPORTS)[number];

/** Questions under way at once, and the connections (sockets) that carry them. */
const OUTSTANDING = 100;
const CLIENTS = 10;
/** Enough for compilers. */
const OTHERS_MAX = 20_000;

interface Server {
  readonly title: string;
  readonly port: number;
  readonly pid: number;
  readonly samples: Readonly<Record<Transport, DnsSample[]>>;
  /** CPU µs of a question by UDP for a name that nobody asked for before. */
  firstCpuUs: number;
}

export interface DnsSample {
  readonly perSecond: number;
  readonly cpuUsPerQuery: number;
  readonly lost: number;
}

interface Zone {
  readonly folder: string;
  readonly file: string;
  readonly questions: string;
  /** For some names of another type: compilers are warm afterwards, and caches nearly empty. */
  readonly others: string;
}

/** Measures and returns a Markdown part of the report. */
export async function nameServers(
  processes: Processes,
  folder: string,
  plan: DnsPlan,
): Promise<string> {
  const place = join(folder, 'dns');
  mkdirSync(place, { recursive: true });
  const ours = await startOurs(processes, place, plan.names);
  const zone = await writeZone(place, plan.names);
  const servers = [ours];
  if (findProgram('knotd') !== undefined) servers.push(await startKnot(processes, zone));
  if (findProgram('nsd') !== undefined) servers.push(await startNsd(processes, zone));
  for (const server of servers) {
    await ask(server, zone.others, 'udp', { passes: 1 });
    const before = cpuUs(server.pid);
    const { completed } = await ask(server, zone.questions, 'udp', { passes: 1 });
    server.firstCpuUs = (cpuUs(server.pid) - before) / completed;
    await ask(server, zone.questions, 'udp', { passes: WARM_UP_PASSES - 1 });
  }
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const transport of TRANSPORTS) {
      for (const server of servers) {
        const before = cpuUs(server.pid);
        const { completed, lost, perSecond } = await ask(
          ...([server, zone.questions, transport, { seconds: plan.seconds }] as const),
        );
        const cpuUsPerQuery = (cpuUs(server.pid) - before) / completed;
        server.samples[transport].push({ perSecond, cpuUsPerQuery, lost });
      }
    }
  }
  const rows = servers.map(({ title, samples, firstCpuUs, pid }) => ({
    ...{ title, samples, firstCpuUs, memoryKib: memoryKib(pid, 'VmRSS') },
  }));
  const words =
    `${number(plan.names, 0)} names, A for each in turn, ${OUTSTANDING} questions under way over ` +
    `${CLIENTS} sockets or connections, ${plan.rounds} rounds of ${plan.seconds} s, after every name was ` +
    `asked for ${WARM_UP_PASSES} times. In brackets: the ratio to Knot in this run.`;
  return `## Name servers\n\n${words}\n\n${dnsTable(rows)}`;
}

export interface DnsResult {
  readonly title: string;
  readonly samples: Readonly<Record<Transport, readonly DnsSample[]>>;
  readonly firstCpuUs: number;
  readonly memoryKib: number;
}

const YARDSTICK = 'Knot';

export function dnsTable(results: readonly DnsResult[]): string {
  const yardstick = results.find(({ title }) => title.startsWith(YARDSTICK));
  const column = (transport: Transport, of: (sample: DnsSample) => number) => (each: DnsResult) =>
    median(each.samples[transport].map(of));
  const columns = [
    ...TRANSPORTS.flatMap((transport) => [
      { of: column(transport, ({ perSecond }) => perSecond), digits: 0 },
      { of: column(transport, ({ cpuUsPerQuery }) => cpuUsPerQuery), digits: 1 },
    ]),
    { of: ({ firstCpuUs }: DnsResult) => firstCpuUs, digits: 1 },
  ];
  const cell = (each: DnsResult, { of, digits }: (typeof columns)[number]) => {
    const text = number(of(each), digits);
    if (yardstick === undefined || each === yardstick) return text;
    return `${text} (${number(of(each) / of(yardstick), 2)})`;
  };
  const rows = results.map((each) => {
    const lost = TRANSPORTS.flatMap((transport) => each.samples[transport]).reduce(
      (sum, sample) => sum + sample.lost,
      0,
    );
    return [
      each.title + (lost > 0 ? ` (**${lost} lost**)` : ''),
      ...columns.map((one) => cell(each, one)),
      number(each.memoryKib / 1_024, 0),
    ];
  });
  const head = TRANSPORTS.flatMap((transport) => [
    `${transport.toUpperCase()} queries/s ↑`,
    `${transport.toUpperCase()} CPU µs per query ↓`,
  ]);
  return table(['', ...head, 'UDP CPU µs, first question for a name ↓', 'memory MiB ↓'], rows);
}

async function startOurs(processes: Processes, folder: string, names: number): Promise<Server> {
  const state = join(folder, 'state');
  await fillRegistry(relayFiles({ state }).registry, names);
  const config = writeConfig(folder, 'dns', {
    zone: ZONE,
    listen: [{ host: '127.0.0.1', port: 0 }],
    state,
    nameServers: [{ host: `ns1.${ZONE}`, addresses: ['127.0.0.1'] }],
    ops: { host: '127.0.0.1', port: 0 },
    responsesPerSecond: 0,
  });
  const child = processes.start('dns', 'waygate.ts', ['dns', '--config', config]);
  const ready = await message(child, (value) => value['event'] === 'ready');
  return serverOf('Waygate', Number(ready['port']), child.pid);
}

/** The zone as our server has it, for the others, and a question for each name. */
async function writeZone(folder: string, names: number): Promise<Zone> {
  const { registry: database } = relayFiles({ state: join(folder, 'state') });
  const log = pino({ level: 'silent' });
  const registry = await openRegistry({
    ...{ database: { kind: 'sqlite' as const, file: database }, log, follow: FOLLOW_SERIAL },
  });
  const feed = await openZoneFeed(registry, log);
  const lines = [...feed.zone.records()].flatMap(({ owner, set }) =>
    set.data.map(
      (data) => `${owner}. ${set.ttl} ${typeName(set.type)} ${rdataText(set.type, data)}`,
    ),
  );
  await feed.close();
  await registry.close();
  const file = join(folder, 'zone');
  writeFileSync(file, `${lines.join('\n')}\n`);
  // By a stride that is prime to their number, so that neighbours are not asked one after the other.
  const order = Array.from({ length: names }, (_, at) => benchName((at * 7_919) % names));
  const asked = (type: string, of: readonly string[]) => {
    const path = join(folder, `questions-${type}`);
    writeFileSync(path, `${of.map((name) => `${name}.${ZONE} ${type}`).join('\n')}\n`);
    return path;
  };
  const others = asked('AAAA', order.slice(0, OTHERS_MAX));
  return { folder, file, questions: asked('A', order), others };
}

async function startKnot(processes: Processes, { folder, file }: Zone): Promise<Server> {
  const port = await freePort();
  const config = join(folder, 'knot.conf');
  writeFileSync(
    config,
    `server:
    rundir: "${folder}"
    listen: [ "127.0.0.1@${port}" ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "${folder}/knot"
log:
  - target: stderr
    any: error
zone:
  - domain: ${ZONE}
    file: "${file}"
    zonefile-sync: -1
    journal-content: none
`,
  );
  mkdirSync(join(folder, 'knot'));
  const child = processes.start('knot', 'knotd', ['-c', config]);
  await listening(port, child);
  return serverOf(`${YARDSTICK} ${versionOf('knotd', '-V')}`, port, child.pid);
}

async function startNsd(processes: Processes, { folder, file }: Zone): Promise<Server> {
  const port = await freePort();
  const config = join(folder, 'nsd.conf');
  writeFileSync(
    config,
    `server:
    ip-address: 127.0.0.1@${port}
    server-count: 1
    username: ""
    zonesdir: "${folder}"
    xfrdfile: "${folder}/xfrd.state"
    zonelistfile: "${folder}/zone.list"
    xfrdir: "${folder}"
    pidfile: ""
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: ${ZONE}
    zonefile: "${file}"
`,
  );
  const child = processes.start('nsd', 'nsd', ['-d', '-c', config]);
  await listening(port, child);
  return serverOf(`NSD ${versionOf('nsd', '-v')}`, port, child.pid);
}

function serverOf(title: string, port: number, pid = 0): Server {
  return { title, port, pid, samples: { udp: [], tcp: [] }, firstCpuUs: Number.NaN };
}

function versionOf(program: string, option: string): string {
  const path = findProgram(program) ?? program;
  const text = execFileSync('sh', ['-c', '"$0" "$1" 2>&1', path, option], { encoding: 'utf8' });
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? '';
}

type Extent = { readonly seconds: number } | { readonly passes: number };

/** Every name is asked for, so that caches hold what they would hold in service. */
const WARM_UP_PASSES = 3;

interface Answered {
  readonly completed: number;
  readonly lost: number;
  readonly perSecond: number;
}

async function ask(
  { port, title }: Server,
  questions: string,
  transport: Transport,
  extent: Extent,
): Promise<Answered> {
  const { stdout } = await promisify(execFile)(
    findProgram('dnsperf') ?? 'dnsperf',
    [
      ...['-m', transport, '-s', '127.0.0.1', '-p', String(port), '-d', questions, '-e'],
      ...('seconds' in extent ? ['-l', String(extent.seconds)] : ['-n', String(extent.passes)]),
      ...['-q', String(OUTSTANDING), '-c', String(CLIENTS), '-T', '1'],
    ],
    { maxBuffer: 2 ** 26 },
  );
  const read = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const codes = /Response codes:\s+(.*)/.exec(stdout)?.[1] ?? '';
  if (!/^NOERROR \d+ \(100\.00%\)/.test(codes)) {
    throw new Error(`${title} did not answer every question: ${codes || stdout}`);
  }
  return {
    completed: read(/Queries completed:\s+(\d+)/),
    lost: read(/Queries lost:\s+(\d+)/),
    perSecond: read(/Queries per second:\s+([\d.]+)/),
  };
}
