// What a TLS handshake costs the relay beside nginx: connections that do nothing else, full ones and
// resumed ones. Counted is the processor time of the server, so that neither the visitor, which costs
// more than what it visits, nor other programs of the machine say how fast it is.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { handshakes, type Purpose } from './load.ts';
import { type Certificate, makeCertificate, type Ports, startTlsProxy } from './nginx.ts';
import { cpuUs, freePort, message, type Processes } from './processes.ts';
import { number, table } from './report.ts';
import { startDevice, startRelay } from './waygate.ts';

/** For `--only`. */
export const TLS = 'tls';

export interface TlsPlan {
  readonly rounds: number;
  readonly seconds: number;
  /** V8 compiles a function for good after some thousand calls. */
  readonly warmUpConnections: number;
}

const PURPOSES = ['full', 'resumed'] as const satisfies readonly Purpose[];

const CONNECTIONS = 8;
/** What is done once in a second is in it a few times. */
const IDLE_S = 5;

interface Contender {
  readonly title: string;
  readonly port: number;
  readonly pid: number;
  /** Processor time when nobody comes: a relay looks after its registry and its tunnels. */
  idleUsPerSecond: number;
  /** Processor time for one, by round. */
  readonly us: Readonly<Record<(typeof PURPOSES)[number], number[]>>;
}

/** Measures and returns a Markdown part of the report. */
export async function tlsHandshakes(
  processes: Processes,
  folder: string,
  plan: TlsPlan,
): Promise<string> {
  const place = join(folder, TLS);
  mkdirSync(place);
  // Nothing is ever asked of what is behind them.
  const behind = { bench: await freePort(), sink: await freePort() };
  const certificate = makeCertificate(place);
  const contenders = [
    await nginx(processes, place, { certificate, ports: behind }),
    await bare(processes, certificate),
    await relay(processes, place, behind),
  ];
  for (const each of contenders) {
    await warmUp(processes, each, plan);
    const before = cpuUs(each.pid);
    await pause(IDLE_S * 1_000);
    each.idleUsPerSecond = (cpuUs(each.pid) - before) / IDLE_S;
  }
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const purpose of PURPOSES) {
      for (const each of contenders) {
        each.us[purpose].push(await cost(processes, each, purpose, plan.seconds));
      }
    }
  }
  const [yardstick] = contenders;
  const rows = contenders.map((each) => [
    each.title,
    ...PURPOSES.flatMap((purpose) => {
      const us = Math.min(...each.us[purpose]);
      const perSecond = 1e6 / us;
      const ratio = Math.min(...(yardstick?.us[purpose] ?? [])) / us;
      const compared = each === yardstick ? '' : ` (${number(ratio, 2)})`;
      return [`${number(perSecond, 0)}${compared}`, number(us, 0)];
    }),
  ]);
  const head = PURPOSES.flatMap((purpose) => [
    `${purpose} handshakes/s of one core ↑`,
    `CPU µs per ${purpose} handshake ↓`,
  ]);
  return `## TLS handshakes\n\n${table(['', ...head], rows)}\n${NOTES}`;
}

const NOTES = `TLS 1.3, X25519, AES-128-GCM, ECDSA P-256, ALPN http/1.1; a connection is accepted, does its
handshake, and is closed. By the processor time of the server, less what it uses when nobody comes; the
least of all rounds, because other programs make it more and nothing makes it less. In brackets the
ratio to nginx.
`;

async function warmUp(processes: Processes, { port }: Contender, plan: TlsPlan): Promise<void> {
  for (const purpose of PURPOSES) {
    let done = 0;
    while (done < plan.warmUpConnections) {
      const each = { connections: CONNECTIONS, seconds: plan.seconds, purpose };
      done += (await handshakes(processes, port, each)).connections;
    }
  }
}

/** Processor time that one such connection takes, in microseconds. */
async function cost(
  processes: Processes,
  { port, pid, idleUsPerSecond }: Contender,
  purpose: Purpose,
  seconds: number,
): Promise<number> {
  const before = cpuUs(pid);
  const { connections, perSecond } = await handshakes(processes, port, {
    connections: CONNECTIONS,
    seconds,
    purpose,
  });
  return (cpuUs(pid) - before) / connections - idleUsPerSecond / perSecond;
}

async function nginx(
  processes: Processes,
  folder: string,
  plan: { readonly certificate: Certificate; readonly ports: Ports },
): Promise<Contender> {
  const proxy = await startTlsProxy(processes, { folder, name: 'tls-nginx', ...plan });
  return { title: 'nginx, one worker', ...proxy, ...unmeasured() };
}

async function bare(processes: Processes, { cert, key }: Certificate): Promise<Contender> {
  const child = processes.start('tls-bare', 'test/bench/bare-tls.ts', [cert, key]);
  const told = await message(child, (value) => 'port' in value);
  return {
    title: "Node's own server, which does nothing more",
    port: Number(told['port']),
    pid: child.pid ?? 0,
    ...unmeasured(),
  };
}

async function relay(processes: Processes, folder: string, ports: Ports): Promise<Contender> {
  const started = await startRelay(processes, folder, 'tls-relay');
  // A name that the relay serves; the device has no part in the handshakes.
  await startDevice(processes, folder, started, ports);
  const { child, port } = started;
  return { title: 'Waygate relay', port, pid: child.pid ?? 0, ...unmeasured() };
}

function unmeasured(): Pick<Contender, 'idleUsPerSecond' | 'us'> {
  return { idleUsPerSecond: 0, us: { full: [], resumed: [] } };
}
