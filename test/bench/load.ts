// The visitors of the bench: wrk for small answers, curl for large bodies, our own for handshakes.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HOSTS } from './nginx.ts';
import { message, type Processes } from './processes.ts';

const run = promisify(execFile);

/** Where a system serves its visitors. */
export interface Target {
  readonly scheme: 'https' | 'http';
  readonly port: number;
}

export interface SmallAnswers {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were none, or not 2xx. */
  readonly errors: number;
}

// wrk takes the address from the URL; here the name is for SNI and Host, and the address is ours.
const WRK_SCRIPT = `
function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"us":%d,"p50":%f,"p99":%f,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** 1 KiB answers. `close`: a new connection for each; wrk resumes its TLS sessions then. */
export async function smallAnswers(
  { scheme, port }: Target,
  plan: { folder: string; connections: number; seconds: number; close?: boolean },
): Promise<SmallAnswers> {
  const script = join(plan.folder, 'wrk.lua');
  writeFileSync(script, WRK_SCRIPT);
  const args = [
    '-t1',
    `-c${plan.connections}`,
    `-d${plan.seconds}s`,
    '--timeout=10s',
    '-s',
    script,
  ];
  if (plan.close === true) args.push('-H', 'Connection: close');
  const { stdout } = await run('wrk', [...args, `${scheme}://${HOSTS.bench}:${port}/`], {
    timeout: (plan.seconds + 30) * 1_000,
  });
  const line = stdout.split('\n').findLast((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`wrk told no figures: ${stdout}`);
  const { requests, us, p50, p99, errors } = JSON.parse(line);
  return {
    requests,
    perSecond: requests / (us / 1e6),
    p50Ms: p50 / 1_000,
    p99Ms: p99 / 1_000,
    errors,
  };
}

/** What a new connection is for: a full handshake and a request, or a handshake alone. */
export type Purpose = 'visit' | 'full' | 'resumed';

/** New connections, all alike. */
export async function handshakes(
  processes: Processes,
  port: number,
  plan: { connections: number; seconds: number; purpose: Purpose },
): Promise<{ connections: number; perSecond: number }> {
  const args = [String(port), HOSTS.bench, String(plan.seconds), String(plan.connections)];
  args.push(plan.purpose);
  const visitor = processes.start('handshakes', 'test/bench/handshakes.ts', args);
  const told = await message(visitor, (value) => 'connections' in value);
  const connections = Number(told['connections']);
  return { connections, perSecond: connections / Number(told['seconds']) };
}

/** One large body, MiB/s. */
export async function transfer(
  { scheme, port }: Target,
  direction: 'download' | 'upload',
  file: string,
): Promise<number> {
  const host = direction === 'download' ? HOSTS.bench : HOSTS.sink;
  const args = ['--silent', '--show-error', '--fail', '--insecure', '--http1.1', '-H', 'Expect:']
    .concat(['--resolve', `${host}:${port}:127.0.0.1`, '--output', '/dev/null'])
    .concat(['--write-out', `%{speed_${direction}} %{size_${direction}}`])
    .concat(direction === 'upload' ? ['--upload-file', file] : []);
  const { stdout } = await run('curl', [...args, `${scheme}://${host}:${port}/download`], {
    timeout: TRANSFER_TIMEOUT_MS,
  });
  return Number(stdout.split(' ')[0]) / 2 ** 20;
}

/** 1 GiB at 6 MiB/s, a tenth of the slowest system that is worth a comparison. */
const TRANSFER_TIMEOUT_MS = 180_000;
