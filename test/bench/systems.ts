// The systems that are compared, each started with what it needs. Everything listens on loopback.
// A peer takes part when its programs are on PATH.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../world/requires.ts';
import type { Target } from './load.ts';
import { type Certificate, HOSTS, type Ports, startTlsProxy } from './nginx.ts';
import { freePort, listening, type Processes } from './processes.ts';
import { startDevice, startRelay } from './waygate.ts';

/** What there is before any system starts. */
export interface Bench {
  readonly processes: Processes;
  readonly folder: string;
  readonly certificate: Certificate;
  /** The workspaces. */
  readonly origin: Ports;
}

export interface Running {
  readonly target: Target;
  /** Process ids by label; their children count with them. */
  readonly pids: Readonly<Record<string, number>>;
}

export interface System {
  /** For `--only`. */
  readonly id: string;
  readonly title: string;
  /** Programs on PATH. */
  readonly needs: readonly string[];
  /** What the machine runs, for the head of the report. */
  version(): string;
  start(bench: Bench): Promise<Running>;
}

/** Everything else is a ratio to this one. */
export const YARDSTICK = 'nginx';

export const SYSTEMS: readonly System[] = [
  {
    id: YARDSTICK,
    title: 'nginx, TLS reverse proxy, **no tunnel**',
    needs: ['nginx'],
    version: () => told('nginx', '-v'),
    start: (bench) => tlsInFront(bench, 'nginx', bench.origin, {}),
  },
  {
    id: 'waygate',
    title: 'Waygate, TLS at the relay',
    needs: [],
    version: () => `node ${process.version}`,
    start: startWaygate,
  },
  {
    id: 'ssh',
    title: 'OpenSSH `-R` behind nginx with TLS',
    needs: ['sshd', 'ssh', 'ssh-keygen', 'nginx'],
    version: () => told('ssh', '-V'),
    start: startSsh,
  },
  {
    id: 'frp-tls',
    title: 'frp, http vhost, behind nginx with TLS',
    needs: ['frps', 'frpc', 'nginx'],
    version: () => `frp ${told('frps', '--version')}`,
    start: async (bench) => {
      const { target, pids } = await startFrp(bench, 'frp-tls');
      const ports = { bench: target.port, sink: target.port };
      return tlsInFront(bench, 'frp-tls-nginx', ports, pids);
    },
  },
  {
    id: 'frp',
    title: 'frp, http vhost, *without TLS*',
    needs: ['frps', 'frpc'],
    version: () => `frp ${told('frps', '--version')}`,
    start: (bench) => startFrp(bench, 'frp'),
  },
  {
    id: 'chisel',
    title: 'chisel behind nginx with TLS',
    needs: ['chisel', 'nginx'],
    version: () => `chisel ${told('chisel', '--version')}`,
    start: startChisel,
  },
  {
    id: 'bore',
    title: 'bore behind nginx with TLS',
    needs: ['bore', 'nginx'],
    version: () => told('bore', '--version'),
    start: startBore,
  },
];

/** What the machine lacks for a system; empty when it can run. */
export function missing({ needs }: System): string[] {
  return needs.filter((program) => findProgram(program) === undefined);
}

/** What a program says of its version; some say it on stderr. */
function told(program: string, option: string): string {
  const shell = `"$0" "$1" 2>&1`;
  const path = findProgram(program) ?? program;
  return execFileSync('sh', ['-c', shell, path, option], { encoding: 'utf8' }).trim();
}

async function startWaygate({ processes, folder, origin }: Bench): Promise<Running> {
  const relay = await startRelay(processes, folder, 'relay');
  const device = await startDevice(processes, folder, relay, origin);
  return {
    target: { scheme: 'https', port: relay.port },
    pids: { relay: relay.child.pid ?? 0, device: device.pid ?? 0 },
  };
}

/** nginx with TLS in front of plain ports that some tunnel serves. */
async function tlsInFront(
  { processes, folder, certificate }: Bench,
  name: string,
  ports: Ports,
  pids: Readonly<Record<string, number>>,
): Promise<Running> {
  const proxy = await startTlsProxy(processes, { folder, name, certificate, ports });
  return { target: { scheme: 'https', port: proxy.port }, pids: { nginx: proxy.pid, ...pids } };
}

async function startSsh(bench: Bench): Promise<Running> {
  const { processes, origin } = bench;
  const folder = join(bench.folder, 'ssh');
  mkdirSync(folder);
  const key = join(folder, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const authorized = join(folder, 'authorized_keys');
  writeFileSync(authorized, execFileSync('ssh-keygen', ['-y', '-f', key]));
  chmodSync(authorized, 0o600);
  const port = await freePort();
  // As root, sshd wants the folder that Debian's service makes when it starts.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const config = join(folder, 'sshd_config');
  const settings = `ListenAddress 127.0.0.1:${port}
HostKey ${key}
AuthorizedKeysFile ${authorized}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
MaxSessions 1000
`;
  writeFileSync(config, settings);
  const sshd = processes.start('sshd', 'sshd', ['-D', '-e', '-f', config]);
  await listening(port, sshd);
  const ports = { bench: await freePort(), sink: await freePort() };
  const forwards = (['bench', 'sink'] as const).flatMap((part) => [
    '-R',
    `127.0.0.1:${ports[part]}:127.0.0.1:${origin[part]}`,
  ]);
  const ssh = processes.start('ssh', 'ssh', [
    ...['-N', '-F', 'none', '-i', key, '-p', String(port)],
    ...['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(folder, 'known')}`],
    ...['-o', 'ExitOnForwardFailure=yes', '-o', 'BatchMode=yes'],
    ...forwards,
    `${userInfo().username}@127.0.0.1`,
  ]);
  await Promise.all([listening(ports.bench, ssh), listening(ports.sink, ssh)]);
  return tlsInFront(bench, 'ssh-nginx', ports, { sshd: sshd.pid ?? 0, ssh: ssh.pid ?? 0 });
}

async function startFrp({ processes, folder, origin }: Bench, name: string): Promise<Running> {
  const control = await freePort();
  const port = await freePort();
  const server = join(folder, `${name}-server.toml`);
  writeFileSync(
    server,
    `bindAddr = "127.0.0.1"
proxyBindAddr = "127.0.0.1"
bindPort = ${control}
vhostHTTPPort = ${port}
log.level = "error"
`,
  );
  const frps = processes.start(`${name}-server`, 'frps', ['-c', server]);
  await listening(control, frps);
  const proxies = (['bench', 'sink'] as const).map(
    (part) => `
[[proxies]]
name = "${part}"
type = "http"
localIP = "127.0.0.1"
localPort = ${origin[part]}
customDomains = ["${HOSTS[part]}"]
`,
  );
  const client = join(folder, `${name}-client.toml`);
  // TLS between client and server is frp's default, and Waygate's tunnel has it too.
  const head = `serverAddr = "127.0.0.1"\nserverPort = ${control}\nlog.level = "error"\n`;
  writeFileSync(client, head + proxies.join(''));
  const frpc = processes.start(`${name}-client`, 'frpc', ['-c', client]);
  return {
    target: { scheme: 'http', port },
    pids: { frps: frps.pid ?? 0, frpc: frpc.pid ?? 0 },
  };
}

async function startChisel(bench: Bench): Promise<Running> {
  const { processes, origin } = bench;
  const port = await freePort();
  const ports = { bench: await freePort(), sink: await freePort() };
  const serverArgs = ['server', '--host', '127.0.0.1', '--port', String(port), '--reverse'];
  const server = processes.start('chisel-server', 'chisel', serverArgs);
  await listening(port, server);
  const remotes = (['bench', 'sink'] as const).map(
    (part) => `R:127.0.0.1:${ports[part]}:127.0.0.1:${origin[part]}`,
  );
  const clientArgs = ['client', `http://127.0.0.1:${port}`, ...remotes];
  const client = processes.start('chisel-client', 'chisel', clientArgs);
  await Promise.all([listening(ports.bench), listening(ports.sink)]);
  const pids = { 'chisel server': server.pid ?? 0, 'chisel client': client.pid ?? 0 };
  return tlsInFront(bench, 'chisel-nginx', ports, pids);
}

/** bore's control port cannot be chosen. */
const BORE_PORT = 7_835;

async function startBore(bench: Bench): Promise<Running> {
  const { processes, origin } = bench;
  const server = processes.start('bore-server', 'bore', ['server', '--bind-addr', '127.0.0.1']);
  await listening(BORE_PORT, server);
  const ports = { bench: await freePort(), sink: await freePort() };
  const clients = (['bench', 'sink'] as const).map((part) => {
    const place = ['--local-host', '127.0.0.1', '--to', '127.0.0.1', '--port', String(ports[part])];
    return processes.start(`bore-${part}`, 'bore', ['local', String(origin[part]), ...place]);
  });
  await Promise.all([listening(ports.bench), listening(ports.sink)]);
  const pids = { 'bore server': server.pid ?? 0, 'bore client': clients[0]?.pid ?? 0 };
  return tlsInFront(bench, 'bore-nginx', ports, pids);
}
