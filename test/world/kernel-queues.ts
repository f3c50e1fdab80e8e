// What the kernel holds of the TCP connections of this machine, by /proc/net/tcp: bytes that were
// written and not yet acknowledged, and bytes that arrived and were not yet read. On one machine
// everything else between two programs is in the programs on the way.
import { readFileSync } from 'node:fs';

/** Bytes in the queues of all connections that have this port at either end. */
export function queuedBytes(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let bytes = 0;
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    // sl local remote state tx_queue:rx_queue ...
    const [, local = '', remote = '', state = '', queues = ''] = line.trim().split(/\s+/);
    if (state === LISTEN || !(local.endsWith(suffix) || remote.endsWith(suffix))) continue;
    for (const queue of queues.split(':')) bytes += Number.parseInt(queue, 16);
  }
  return bytes;
}

const LISTEN = '0A';
