// `npm run bench`: Waygate and the peers that are installed, side by side in one run, against nginx as
// TLS reverse proxy without a tunnel. Prints a Markdown report and keeps it in bench-results/.
// Only ratios within one report mean something: visitors, systems and workspace share the machine.
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findProgram } from '../world/requires.ts';
import { IDLE, idleTunnels } from './idle-tunnels.ts';
import { handshakes, smallAnswers, type Target, transfer } from './load.ts';
import { manyNames, NAMES } from './many-names.ts';
import { DNS, type DnsPlan, nameServers } from './name-servers.ts';
import { makeCertificate, startOrigin } from './nginx.ts';
import { cpuUs, listening, memoryKib, message, Processes } from './processes.ts';
import { comparison, processes as processTable, type Result, type Sample } from './report.ts';
import { type Bench, missing, type Running, SYSTEMS, type System, YARDSTICK } from './systems.ts';
import { TLS, type TlsPlan, tlsHandshakes } from './tls-handshakes.ts';

const CONNECTIONS = 32;
/** Fewer, because our own visitor for them costs more than what it visits. */
const HANDSHAKES_AT_ONCE = 8;

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly transferBytes: number;
  readonly tunnels: number;
  readonly tls: TlsPlan;
  readonly dns: DnsPlan;
  readonly names: number;
}

const FULL: Plan = {
  ...{ rounds: 3, seconds: 4, transferBytes: 2 ** 30, tunnels: 5_000 },
  tls: { rounds: 8, seconds: 3, warmUpConnections: 3_000 },
  dns: { names: 100_000, rounds: 3, seconds: 5 },
  names: 1_000_000,
};
/** Shows that everything works; its figures are noise. */
const QUICK: Plan = {
  ...{ rounds: 1, seconds: 1, transferBytes: 2 ** 26, tunnels: 200 },
  tls: { rounds: 1, seconds: 1, warmUpConnections: 100 },
  dns: { names: 1_000, rounds: 1, seconds: 1 },
  names: 10_000,
};

/** Parts of the report that are no comparison with nginx. */
const PARTS = [TLS, IDLE, DNS, NAMES];

const USAGE = `npm run bench -- [--quick] [--only ${[...SYSTEMS.map(({ id }) => id), ...PARTS].join(',')}]
  --quick   one short round, to see that it works
  --only    some of them; ${YARDSTICK} is always there, because all others are ratios to it
`;

const NOTES = `In brackets: the ratio to nginx without a tunnel in this run. ↑ more is better, ↓ less is better.
Every system: TLS 1.3 with an ECDSA P-256 certificate towards visitors (but where it says without),
HTTP/1.1, access log off, nginx with one worker. Requests: 1 KiB answers on ${CONNECTIONS} connections that stay
open. Transfers: one body on one connection. CPU and memory are those of the system itself, without
visitors and workspace. The tunnels of Waygate, ssh, frp and chisel are encrypted, that of bore is not. Full TLS connections are limited by the visitor that makes them.
`;

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean' }, only: { type: 'string' }, help: { type: 'boolean' } },
  });
  const chosen = values.only?.split(',');
  const known = [...PARTS, ...SYSTEMS.map(({ id }) => id)];
  if (values.help === true || chosen?.some((id) => !known.includes(id))) {
    process.stderr.write(USAGE);
    process.exit(values.help === true ? 0 : 2);
  }
  const needs = [
    'setpriv',
    ...(comparesSystems(chosen) ? ['wrk', 'curl'] : []),
    ...(comparesSystems(chosen) || chosen?.includes(TLS) ? ['nginx', 'openssl'] : []),
  ];
  const lacking = needs.filter((each) => findProgram(each) === undefined);
  if (lacking.length > 0) {
    process.stderr.write(
      `The bench needs ${lacking.join(', ')}. Debian: apt install nginx-light wrk curl openssl\n`,
    );
    process.exit(1);
  }
  await bench(values.quick === true ? QUICK : FULL, chosen);
  process.exit(0);
}

function comparesSystems(chosen: readonly string[] | undefined): boolean {
  return chosen === undefined || chosen.some((id) => !PARTS.includes(id));
}

async function bench(plan: Plan, chosen: readonly string[] | undefined): Promise<void> {
  const wanted = (id: string) => chosen === undefined || chosen.includes(id);
  const folder = mkdtempSync(join(tmpdir(), 'waygate-bench-'));
  const processes = new Processes(folder);
  const stop = () => {
    process.stderr.write('\nStopping.\n');
    void processes[Symbol.asyncDispose]().then(() => {
      rmSync(folder, { recursive: true, force: true });
      process.exit(130);
    });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  try {
    const systems = SYSTEMS.filter(({ id }) => id === YARDSTICK || wanted(id));
    const able = systems.filter((system) => missing(system).length === 0);
    const parts = [head(plan, able)];
    const compares = comparesSystems(chosen);
    if (compares) {
      const results = await compare(plan, able, { processes, folder });
      parts.push(comparison(results), NOTES, processTable(results));
    }
    if (wanted(TLS)) {
      say('TLS handshakes');
      parts.push(await tlsHandshakes(processes, folder, plan.tls));
    }
    if (wanted(IDLE)) {
      say(`${plan.tunnels} idle tunnels`);
      parts.push(await idleTunnels(processes, folder, plan.tunnels));
    }
    if (wanted(DNS)) parts.push(await nameServersPart(plan, { processes, folder }));
    if (wanted(NAMES)) {
      say(`start with ${plan.names} names`);
      parts.push(await manyNames(processes, folder, plan.names));
    }
    const absent = compares ? systems.filter((system) => !able.includes(system)) : [];
    parts.push(
      ...absent.map((each) => `Not measured: ${each.title} (no ${missing(each).join(', ')})\n`),
    );
    keep(parts.join('\n'));
  } catch (error) {
    await processes[Symbol.asyncDispose]();
    const why =
      error instanceof Error
        ? `${error.message}${error.cause === undefined ? '' : `: ${String(error.cause)}`}`
        : String(error);
    process.stderr.write(`${why}\nThe logs are in ${folder}.\n`);
    process.exit(1);
  }
  await processes[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}

async function nameServersPart(plan: Plan, { processes, folder }: Place): Promise<string> {
  if (findProgram('dnsperf') === undefined) return 'Not measured: name servers (no dnsperf)\n';
  say(`name servers with ${plan.dns.names} names`);
  return nameServers(processes, folder, plan.dns);
}

interface Place {
  readonly processes: Processes;
  readonly folder: string;
}

/** All systems stay up, and take turns within each round, so that a slow minute hits all alike. */
async function compare(plan: Plan, systems: readonly System[], place: Place): Promise<Result[]> {
  const { processes, folder } = place;
  const origin = await startOrigin(processes, folder, plan.transferBytes);
  const sink = processes.start('sink', 'test/bench/sink.ts', []);
  const sinkPort = Number((await message(sink, (value) => 'port' in value))['port']);
  await listening(sinkPort);
  const upload = join(folder, 'upload');
  writeFileSync(upload, '');
  truncateSync(upload, plan.transferBytes);

  const setting: Bench = {
    ...place,
    certificate: makeCertificate(folder),
    origin: { bench: origin.port, sink: sinkPort },
  };
  const started: { system: System; running: Running; samples: Sample[] }[] = [];
  for (const system of systems) {
    say(`start ${system.id}`);
    const running = await system.start(setting).catch((error: unknown) => {
      throw new Error(`${system.id} did not start`, { cause: error });
    });
    started.push({ system, running, samples: [] });
  }
  for (const { running } of started) await warmUp(running.target, folder);
  for (let round = 1; round <= plan.rounds; round += 1) {
    for (const { system, running, samples } of started) {
      const sample = await measure(plan, running, { ...place, upload });
      samples.push(sample);
      say(
        `round ${round}/${plan.rounds} ${system.id}: ${Math.round(sample.requestsPerSecond)} requests/s`,
      );
    }
  }
  return started.map(({ system, running, samples }) => ({
    title: system.title,
    yardstick: system.id === YARDSTICK,
    samples,
    peakKib: byProcess(running, (pid) => memoryKib(pid, 'VmHWM')),
  }));
}

/** The first second belongs to compilers and caches. */
async function warmUp(target: Target, folder: string): Promise<void> {
  await smallAnswers(target, { folder, connections: CONNECTIONS, seconds: 1 });
}

async function measure(
  plan: Plan,
  { target, pids }: Running,
  { processes, folder, upload }: Place & { readonly upload: string },
): Promise<Sample> {
  const { seconds } = plan;
  const running = { target, pids };
  const before = byProcess(running, cpuUs);
  const small = await smallAnswers(target, { folder, connections: CONNECTIONS, seconds });
  const after = byProcess(running, cpuUs);
  const resumed = await smallAnswers(target, {
    folder,
    connections: CONNECTIONS,
    seconds,
    close: true,
  });
  const full = await fullHandshakes(processes, running, seconds);
  return {
    requestsPerSecond: small.perSecond,
    p50Ms: small.p50Ms,
    p99Ms: small.p99Ms,
    requestCpuUs: Object.fromEntries(
      Object.keys(pids).map((label) => [
        label,
        ((after[label] ?? 0) - (before[label] ?? 0)) / small.requests,
      ]),
    ),
    resumedPerSecond: target.scheme === 'https' ? resumed.perSecond : Number.NaN,
    ...full,
    downloadMibPerSecond: await transfer(target, 'download', upload),
    uploadMibPerSecond: await transfer(target, 'upload', upload),
    errors: small.errors + resumed.errors,
  };
}

async function fullHandshakes(
  processes: Processes,
  running: Running,
  seconds: number,
): Promise<Pick<Sample, 'handshakesPerSecond' | 'handshakeCpuUs'>> {
  const { target } = running;
  if (target.scheme === 'http')
    return { handshakesPerSecond: Number.NaN, handshakeCpuUs: Number.NaN };
  const total = () => Object.values(byProcess(running, cpuUs)).reduce((sum, each) => sum + each, 0);
  const before = total();
  const plan = { connections: HANDSHAKES_AT_ONCE, seconds, purpose: 'visit' } as const;
  const { connections, perSecond } = await handshakes(processes, target.port, plan);
  return { handshakesPerSecond: perSecond, handshakeCpuUs: (total() - before) / connections };
}

function byProcess({ pids }: Running, read: (pid: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(pids).map(([label, pid]) => [label, read(pid)]));
}

function head(plan: Plan, systems: readonly System[]): string {
  const node = `node ${process.version}`;
  const versions = new Set([node, ...systems.map((system) => system.version())]);
  const gib = Math.round(totalmem() / 2 ** 30);
  return `# Bench of ${new Date().toISOString().slice(0, 16)}Z

${cpus().length} × ${cpus()[0]?.model.trim()}, ${gib} GiB, Linux ${release()} ${arch()}.
${[...versions].join(', ')}.
${plan.rounds} rounds of ${plan.seconds} s, medians; bodies of ${plan.transferBytes / 2 ** 20} MiB.
`;
}

function keep(report: string): void {
  mkdirSync('bench-results', { recursive: true });
  const name = new Date().toISOString().slice(0, 16).replace(/[:T]/g, '-');
  const file = join('bench-results', `${name}.md`);
  writeFileSync(file, report);
  process.stdout.write(`${report}\n`);
  say(`kept in ${file}`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
