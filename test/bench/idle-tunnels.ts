// What a device that does nothing costs its relay: opens thousands of real tunnels, each with a key of
// its own, and looks at the relay before and after.
import { setTimeout as pause } from 'node:timers/promises';
import { cpuUs, memoryKib, message, type Processes } from './processes.ts';
import { number, table } from './report.ts';
import { relayRegistry, startRelay } from './waygate.ts';

/** For `--only`. */
export const IDLE = 'idle';

const NAME = 'idle-relay';

/** Two rounds of pings, and time for the collector. */
const SETTLE_MS = 40_000;

/** Measures and returns a Markdown part of the report. */
export async function idleTunnels(
  processes: Processes,
  folder: string,
  count: number,
): Promise<string> {
  const registry = relayRegistry(folder, NAME);
  const crowd = processes.start('crowd', 'test/bench/tunnel-crowd.ts', [String(count), registry]);
  await message(crowd, (value) => value['event'] === 'enrolled');
  // Started only now: it knows all devices from the start, and has no garbage from learning them.
  const relay = await startRelay(processes, folder, NAME);
  const pid = relay.child.pid ?? 0;
  const before = memoryKib(pid, 'VmRSS');
  const begunMs = performance.now();
  const { port, ca, vendorKey } = relay;
  crowd.send({ port, ca, vendorKey });
  const told = await message(crowd, (value) => value['event'] === 'connected');
  const seconds = (performance.now() - begunMs) / 1_000;
  const open = Number(told['tunnels']);
  const cpuBefore = cpuUs(pid);
  const settleMs = count < 1_000 ? SETTLE_MS / 20 : SETTLE_MS;
  await pause(settleMs);
  const cpuShare = (cpuUs(pid) - cpuBefore) / (settleMs * 1_000);
  const full = memoryKib(pid, 'VmRSS');
  await processes.stop(crowd);
  await processes.stop(relay.child);
  const rows = [
    ['tunnels open', number(open, 0)],
    ['opened in, s', number(seconds, 1)],
    ['relay before, MiB', number(before / 1_024, 0)],
    ['relay with the tunnels open, MiB', number(full / 1_024, 0)],
    ['per tunnel, KiB', number((full - before) / open, 1)],
    ['processor while idle, % of one core', number(cpuShare * 100, 1)],
  ];
  return `## Idle tunnels\n\n${table(['', 'relay'], rows)}`;
}
