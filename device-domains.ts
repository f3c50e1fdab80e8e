// The device's verbs for own domains: what to enter at the DNS provider, how far it is, and watching
// until it is live. The relay looks, whether somebody watches or not.
import { setTimeout as delay } from 'node:timers/promises';
import type { DeviceApi } from './device-client/api.ts';
import { ApiError } from './device-client/api-error.ts';
import {
  addDomain,
  askDomains,
  type ChosenDomain,
  checkDomain,
  type OwnDomain,
  type OwnDomainStep,
  removeDomain,
} from './device-client/own-domains.ts';
import { askStanding } from './device-client/standing.ts';
import { deviceAtHand, onlyName } from './device-verbs.ts';
import type { DeviceName, Hostname, WorkspaceName } from './dns/name.ts';
import {
  domainLine,
  entryLines,
  recentLine,
  stepLine,
  stepLines,
  targetWords,
} from './domain-lines.ts';
import { LiveLines } from './live-lines.ts';
import { print, printJson } from './printing.ts';

const WATCH_LIMITS = {
  /** A person sees what he has just entered; a relay looks for several at once. */
  pollMs: 3_000,
  /** How wide lines are where no terminal says it. */
  columns: 100,
} as const;

export interface AddFlags {
  readonly name: DeviceName | undefined;
  readonly workspace: WorkspaceName | undefined;
  readonly wildcard: boolean;
  /** Watch until it is live. */
  readonly wait: boolean;
  readonly timeoutMs: number;
  /** One JSON line for each event. */
  readonly json: boolean;
}

/** The domain does not serve. */
class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly code = 'ERR_DOMAIN';
}

export async function add(configFile: string, domain: Hostname, flags: AddFlags): Promise<void> {
  const { workspace, wildcard, json } = flags;
  const { api, config } = await deviceAtHand(configFile);
  const name = flags.name ?? onlyName(await askStanding(api));
  const own = await addDomain(api, { domain, name, workspace, wildcard });
  if (json) await printJson({ event: 'added', ...own });
  else {
    await print(`${own.domain} is to lead to ${targetWords(own)}.\n`);
    for (const line of entryLines(own)) await print(line);
    await print('');
  }
  if (workspace !== undefined && !config.workspaces.some((each) => each.name === workspace)) {
    process.stderr.write(
      `${configFile} has no workspace ${workspace} yet: add it there, or visitors of ${domain} are ` +
        'told that there is none.\n',
    );
  }
  const again = `waygate device domain check ${domain} --config ${configFile}`;
  if (!flags.wait) {
    process.stderr.write(`The relay looks for it by itself. How far it is: ${again}\n`);
    return;
  }
  await watch(api, own, { chosen: { domain, name }, ...flags, again });
}

export async function list(configFile: string, json: boolean): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  const domains = await askDomains(api);
  if (json) return printJson(domains);
  for (const own of domains) await print(domainLine(own));
  if (domains.length > 0) return;
  process.stderr.write(
    `This device has no domains of its own. Add one: waygate device domain add DOMAIN ` +
      `--config ${configFile}\n`,
  );
}

/** Looks once; fails when the domain is not live. */
export async function check(
  configFile: string,
  chosen: ChosenDomain,
  json: boolean,
): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  const own = await checkDomain(api, chosen);
  if (json) await printJson(own);
  else {
    await print(`${own.domain} leads to ${targetWords(own)}: ${own.live ? 'live' : own.state}`);
    if (!own.live) for (const line of ['', ...entryLines(own), '']) await print(line);
    const columns = process.stdout.isTTY ? process.stdout.columns : WATCH_LIMITS.columns;
    for (const line of stepLines(own.steps, columns)) await print(line);
    const recent = recentLine(own);
    if (recent !== undefined) await print(`\n${recent}`);
  }
  if (!own.live) throw new DomainError(notLive(own));
  if (!json) await print(`\nlive at ${own.url}`);
}

export async function remove(
  configFile: string,
  chosen: ChosenDomain,
  json: boolean,
): Promise<void> {
  const { api } = await deviceAtHand(configFile);
  const { domain } = chosen;
  await removeDomain(api, chosen);
  if (json) return printJson({ domain, outcome: 'removed' });
  await print(`${domain}: removed`);
  process.stderr.write('Take its entries out at the DNS provider, too: they lead nowhere now.\n');
}

const STOPS = ['SIGINT', 'SIGTERM'] as const;

interface Watching extends Pick<AddFlags, 'timeoutMs' | 'json'> {
  readonly chosen: ChosenDomain;
  /** The command that looks again. */
  readonly again: string;
}

/** Shows each change until the domain is live, the time is over, or somebody presses Ctrl-C. */
async function watch(
  api: DeviceApi,
  first: OwnDomain,
  { chosen, timeoutMs, json, again }: Watching,
): Promise<void> {
  const end = new AbortController();
  const stop = () => end.abort();
  for (const signal of STOPS) process.once(signal, stop);
  const late = setTimeout(stop, timeoutMs);
  if (!json) process.stderr.write('Looking for it. Ctrl-C ends the looking, not the domain.\n\n');
  const show = json ? tellProgram : process.stdout.isTTY ? drawing() : tellReader;
  const look = () => checkDomain(api, chosen, end.signal);
  const last = await untilLive(first, { look, show, signal: end.signal }).finally(() => {
    clearTimeout(late);
    for (const signal of STOPS) process.off(signal, stop);
  });
  if (json) await printJson({ event: last.live ? 'live' : 'waiting', ...last });
  else if (last.live) await print(`\nlive at ${last.url}`);
  if (last.live) return;
  throw new DomainError(`${notLive(last)} The relay goes on by itself. To look again: ${again}`);
}

interface Show {
  /** What was found, and what was known before. */
  found(own: OwnDomain, before: OwnDomain): Promise<void>;
  /** Something was said beside it, on stderr. */
  said?(): void;
}

interface Looking {
  readonly look: () => Promise<OwnDomain>;
  readonly show: Show;
  readonly signal: AbortSignal;
}

/** Looks at once and then again and again; resolves with what was found last. */
async function untilLive(first: OwnDomain, { look, show, signal }: Looking): Promise<OwnDomain> {
  let own = first;
  let outage = false;
  while (!own.live && !signal.aborted) {
    try {
      const found = await look();
      await show.found(found, own);
      own = found;
      outage = false;
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof ApiError && error.passing)) throw error;
      if (!outage) process.stderr.write(`${error.message} Waiting.\n`);
      if (!outage) show.said?.();
      outage = true;
    }
    if (!own.live) await pause(signal);
  }
  return own;
}

async function pause(signal: AbortSignal): Promise<void> {
  await delay(WATCH_LIMITS.pollMs, undefined, { signal }).catch(() => undefined);
}

/** The steps that are not what they were. */
function changes(own: OwnDomain, before: OwnDomain): readonly OwnDomainStep[] {
  const known = new Set(before.steps.map((step) => JSON.stringify(step)));
  return own.steps.filter((step) => !known.has(JSON.stringify(step)));
}

const tellReader: Show = {
  async found(own, before) {
    for (const step of changes(own, before)) await print(stepLine(step));
  },
};

const tellProgram: Show = {
  async found(own, before) {
    for (const step of changes(own, before)) await printJson({ event: 'step', ...step });
  },
};

function drawing(): Show {
  const lines = new LiveLines(process.stdout);
  return {
    async found({ steps, checkedAt }) {
      const looked = checkedAt === undefined ? 'not looked at yet' : `looked at ${checkedAt}`;
      lines.draw([...stepLines(steps, lines.columns), '', `  ${looked}`]);
    },
    said: () => lines.leave(),
  };
}

/** A sentence, and what to do when there is something. */
function notLive({ domain, steps }: OwnDomain): string {
  const next = steps.find(({ state, next: todo }) => state !== 'ok' && todo !== undefined)?.next;
  return `${domain} is not live yet.${next === undefined ? '' : ` ${next}`}`;
}
