// Opens the registry that it is told of on its standard input, and tells what that took. Then one deed,
// and how long it took until another snapshot had it.
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { parseDeviceName } from '../../../dns/name.ts';
import { generateKey } from '../../../relay/protocol/key.ts';
import { openRegistry } from '../../../relay/registry/registry.ts';

export interface Opened {
  readonly names: number;
  readonly openMs: number;
  readonly cpuMs: number;
  /** The longest that the event loop stood still meanwhile. */
  readonly standstillMs: number;
  readonly heapMb: number;
  readonly residentMb: number;
  readonly deedMs: number;
}

const database = JSON.parse(await text(process.stdin));
let standstillMs = 0;
let lastMs = performance.now();
const ticks = setInterval(() => {
  standstillMs = Math.max(standstillMs, performance.now() - lastMs - 1);
  lastMs = performance.now();
}, 1);
const startedMs = performance.now();
lastMs = startedMs;
const registry = await openRegistry({ database, log: pino({ level: 'silent' }) });
const openMs = performance.now() - startedMs;
const { user, system } = process.cpuUsage();
const cpuMs = (user + system) / 1_000;
clearInterval(ticks);
standstillMs = Math.max(standstillMs, performance.now() - lastMs);
global.gc?.();
const { heapUsed, rss } = process.memoryUsage();
const name = parseDeviceName('a-new-one');
if (name === undefined) throw new Error('no name');
const deedMs: number[] = [];
for (let at = 0; at < 5; at += 1) {
  const deviceKey = generateKey('device').publicKey;
  const holder = registry.snapshot.deviceOf(name)?.thumbprint;
  const replacing = holder === undefined ? {} : { replacing: holder };
  const beganMs = performance.now();
  await registry.enroll({ name, deviceKey, actor: 'test', ...replacing });
  deedMs.push(performance.now() - beganMs);
}
const opened: Opened = {
  names: registry.snapshot.size - 1,
  openMs,
  cpuMs,
  standstillMs,
  heapMb: heapUsed / 1e6,
  residentMb: rss / 1e6,
  deedMs: Math.min(...deedMs),
};
await registry.close();
process.stdout.write(JSON.stringify(opened));
