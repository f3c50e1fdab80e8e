// A relay that has begun an order, and is killed before it is done. It is told on its standard input, as
// JSON, where the registry is, and says so when the order is kept.
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { keepOrder } from '../../../../relay/registry/certificates/held-work.ts';
import { takeWork } from '../../../../relay/registry/certificates/job.ts';
import { openRegistry } from '../../../../relay/registry/registry.ts';

const { place, nowMs, leaseMs, order } = JSON.parse(await text(process.stdin));
const registry = await openRegistry({ database: place, log: pino({ level: 'silent' }) });
const [job] = await registry.write(takeWork({ holder: 'the-dead', nowMs, leaseMs, max: 1 }));
assert(job !== undefined);
assert(await registry.write(keepOrder(job, order)));
process.stdout.write('kept\n');
setInterval(() => undefined, 1_000);
