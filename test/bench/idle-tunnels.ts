// What a device that does nothing costs its relay: opens thousands of real tunnels, each with a key of
// its own, and looks at the relay before and after.
import { setTimeout as pause } from 'node:timers/promises';
import { cpuUs, memoryKib, message, type Processes } from './processes.ts';
import { number, table } from './report.ts';
import { startRelay } from './waygate.ts';

/** For `--only`. */
export const IDLE = 'idle';

/** Two rounds of pings, and time for the collector. */
const SETTLE_MS = 40_000;

/** Measures and returns a Markdown part of the report. */
export async function idleTunnels(
  processes: Processes,
  folder: string,
  count: number,
): Promise<string> {
  const relay = await startRelay(processes, folder, 'idle-relay');
  const pid = relay.child.pid ?? 0;
  const empty = memoryKib(pid, 'VmRSS');
  const { port, ca, vendorKey, registry } = relay;
  const plan = JSON.stringify({ count, port, ca, vendorKey, registry });
  const crowd = processes.start('crowd', 'test/bench/tunnel-crowd.ts', [plan]);
  await message(crowd, (value) => value['event'] === 'enrolled');
  // The relay looks for changes by others every half second.
  await pause(2_000);
  const enrolled = memoryKib(pid, 'VmRSS');
  const begunMs = performance.now();
  crowd.send({ event: 'dial' });
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
    ['relay before, MiB', number(empty / 1_024, 0)],
    ['relay with the devices enrolled, MiB', number(enrolled / 1_024, 0)],
    ['relay with the tunnels open, MiB', number(full / 1_024, 0)],
    ['per tunnel, KiB', number((full - enrolled) / open, 1)],
    ['processor while idle, % of one core', number(cpuShare * 100, 1)],
  ];
  return `## Idle tunnels\n\n${table(['', 'relay'], rows)}`;
}
