// `waygate try`: a whole vendor on this machine and one device, `demo`, as separate processes. It
// says on stdout what is ready, and on stderr everything else. A relay that dies is started again, as
// systemd would do; a device that dies stays away, like a box at home that was unplugged.
// When this process ends, however it ends, the programs end too (stop-request.ts, `disconnect`).
import { setTimeout as pause } from 'node:timers/promises';
import { openStore } from './certs/store.ts';
import { startSample } from './device-client/sample.ts';
import type { Hostname } from './dns/name.ts';
import { stopRequest } from './stop-request.ts';
import { servedTrust, type TryAuthority } from './try-authority.ts';
import { TryError } from './try-error.ts';
import {
  type CaFile,
  type TryFiles,
  type TryPlan,
  type TryWorkspace,
  writeTrust,
  writeTryFiles,
} from './try-files.ts';
import { lockDirectory } from './try-lock.ts';
import { freeDnsPort, freePort } from './try-port.ts';
import { type Entrance, type Finding, probe } from './try-probe.ts';
import { TryProcess } from './try-process.ts';
import { SignInWatch } from './try-sign-in.ts';

export interface TryOptions {
  /** None: the sample workspace `hello`. */
  readonly workspaces: readonly TryWorkspace[];
  /** Who signs certificates; absent: a local CA. */
  readonly authority: TryAuthority | undefined;
  readonly zone: Hostname;
  /** 0: any free one. */
  readonly port: number;
  /** Of the name server; 0: any free one. */
  readonly dnsPort: number;
  /** Absolute. */
  readonly directory: string;
  /** One JSON line on stdout instead of readable ones. */
  readonly json: boolean;
}

const TRY_LIMITS = {
  /** From both programs being ready to the first answer of a workspace. Usually 50 ms. */
  reachTimeoutMs: 20_000,
  /** Between two looks. */
  reachEveryMs: 100,
  /** With an authority, which takes its time to look. */
  orderedMs: 180_000,
} as const;

/** A vendor of one's own is nobody else's business. */
const ADDRESS = '127.0.0.1';

/** Runs until it is told to stop. Rejects when it cannot start, or cannot go on. */
export async function runTry(options: TryOptions): Promise<void> {
  // Whoever read our lines may go away; the programs run on.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const processes = new Set<TryProcess>();
  const stopAsked = stopRequest(() => {
    for (const each of processes) each.kill();
    process.exit(0);
  });
  // Whatever `serve` has opened when it is left, or fails, is closed in reverse order.
  await using open = new AsyncDisposableStack();
  await Promise.race([stopAsked, serve(options, open, processes)]);
}

async function serve(
  options: TryOptions,
  open: AsyncDisposableStack,
  processes: Set<TryProcess>,
): Promise<never> {
  const { directory, zone, authority } = options;
  const lock = await lockDirectory(directory);
  open.defer(() => lock.release());
  const port = await freePort({ address: ADDRESS, port: options.port, option: '--port' });
  const dnsPort = await freeDnsPort({
    ...{ address: ADDRESS, port: options.dnsPort, option: '--dns-port' },
  });
  const workspaces = await publishedWorkspaces(options, open);
  const plan = { directory, zone, address: ADDRESS, port, dnsPort, workspaces, authority };
  const files = await writeTryFiles(plan);
  say(`files: keys, configurations and logs are in ${directory}`);

  if (authority !== undefined) say(`certificates: ordered from ${authority.directory}`);
  const readyTimeoutMs = authority === undefined ? undefined : TRY_LIMITS.orderedMs;
  const starting = { restarts: true, readyTimeoutMs, say };
  const relay = new TryProcess({ ...files.relay, ...starting, name: 'relay' });
  processes.add(open.use(relay));
  const dns = new TryProcess({ ...files.dns, name: 'dns', restarts: true, say });
  processes.add(open.use(dns));
  await Promise.all([relay.start(), dns.start()]);
  say(`relay: process ${relay.pid}, https on ${ADDRESS}:${port}`);
  say(`dns: process ${dns.pid}, on ${ADDRESS}:${dnsPort}`);
  const ca = await trustServed(files, plan);
  const device = new TryProcess({ ...files.device, name: 'device', restarts: false, say });
  processes.add(open.use(device));
  await device.start();
  say(`device: process ${device.pid}, tunnel is up`);

  const entrance = { address: ADDRESS, port, ca: ca?.pem };
  await Promise.all(
    workspaces.map(async (workspace) => {
      const hostname = `${workspace.name}.${files.name}.${zone}`;
      const finding = await reach(hostname, entrance, { files, timeoutMs: readyTimeoutMs });
      say(findingLine(workspace, finding));
    }),
  );
  const deviceHost = `${files.name}.${zone}:${port}`;
  const urls = workspaces.map(({ name }) => [name, `https://${name}.${deviceHost}/`] as const);
  open.use(new SignInWatch(files.relay.logFile, (link) => showSignInLink(options.json, link)));
  announce(options, files, { relay, device, dns, port, dnsPort, urls });
  throw await Promise.race([relay.hopeless, dns.hopeless]);
}

/** Of a private authority more is known when the relay has its certificates. */
async function trustServed(files: TryFiles, plan: TryPlan): Promise<CaFile | undefined> {
  const known = plan.authority?.private;
  if (known === undefined) return files.ca;
  const store = await openStore(plan.directory);
  return writeTrust(store, await servedTrust(known, plan));
}

interface Ready {
  readonly relay: TryProcess;
  readonly device: TryProcess;
  readonly dns: TryProcess;
  readonly port: number;
  readonly dnsPort: number;
  readonly urls: readonly (readonly [name: string, url: string])[];
}

function announce({ json, zone }: TryOptions, { ca, name }: TryFiles, ready: Ready): void {
  const { relay, device, dns, port, dnsPort, urls } = ready;
  const caPath = ca?.path;
  if (json) {
    const line = {
      event: 'ready',
      ca: caPath ?? null,
      zone,
      portal: portalUrl(zone, port),
      workspaces: Object.fromEntries(urls),
      relay: { address: ADDRESS, port, pid: relay.pid, metrics: relay.metrics },
      device: { pid: device.pid, metrics: device.metrics },
      dns: { address: ADDRESS, port: dnsPort, pid: dns.pid, metrics: dns.metrics },
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  for (const [, url] of urls) process.stdout.write(`ready ${url}\n`);
  if (caPath !== undefined) process.stdout.write(`ca ${caPath}\n`);
  process.stdout.write(`portal ${portalUrl(zone, port)}\n`);
  process.stdout.write(`dns ${ADDRESS}:${dnsPort}\n`);
  const first = urls[0]?.[1] ?? '';
  say(`\nOpen it: curl ${caPath === undefined ? '' : `--cacert ${caPath} `}${first}`);
  say(`Ask for it: dig @${ADDRESS} -p ${dnsPort} ${name}.${zone}`);
  if (zone === 'localhost' || zone.endsWith('.localhost')) {
    say('Browsers find *.localhost by themselves; they ask once whether to trust this CA.');
  } else {
    say(`No resolver knows ${zone} here: let curl use --connect-to ::${ADDRESS}:${port}`);
  }
  say('Ctrl-C stops everything.');
}

/** Where the device's owner signs in. */
function portalUrl(zone: Hostname, port: number): string {
  return new URL(`https://my.${zone}:${port}/`).href;
}

function showSignInLink(json: boolean, link: string): void {
  const line = json ? JSON.stringify({ event: 'sign-in', url: link }) : `sign-in ${link}`;
  process.stdout.write(`${line}\n`);
}

/** The workspaces that were asked for, or the sample, which lives in this process. */
async function publishedWorkspaces(
  { workspaces }: TryOptions,
  open: AsyncDisposableStack,
): Promise<readonly TryWorkspace[]> {
  if (workspaces.length > 0) return workspaces;
  const sample = await startSample();
  open.defer(() => sample.stop());
  return [{ name: 'hello', target: sample.url }];
}

interface Reaching {
  readonly files: TryFiles;
  readonly timeoutMs: number | undefined;
}

/** Looks at the workspace until the way to it is there. */
async function reach(
  hostname: string,
  entrance: Entrance,
  { files, timeoutMs = TRY_LIMITS.reachTimeoutMs }: Reaching,
): Promise<Finding> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const finding = await probe(hostname, entrance);
    if (finding.kind !== 'away') return finding;
    if (performance.now() > deadlineMs) {
      const seconds = timeoutMs / 1_000;
      throw new TryError(
        `https://${hostname}:${entrance.port}/ could not be reached through relay and device ` +
          `within ${seconds} s (${finding.why}).\n` +
          `Their logs: ${files.relay.logFile} and ${files.device.logFile}`,
      );
    }
    await pause(TRY_LIMITS.reachEveryMs);
  }
}

function findingLine({ name, target }: TryWorkspace, finding: Finding): string {
  if (finding.kind === 'answered') return `${name}: answers (status ${finding.status})`;
  return `${name}: ${target} does not serve: ${finding.why}. Its address works as soon as it does.`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
