// The relay's own numbers for Prometheus, read when somebody asks; the entrance has its own.
import { Gauge, type Registry } from 'prom-client';
import type { Admission } from './admission.ts';
import type { Tunnels } from './tunnels.ts';

export function exposeTunnels(parts: {
  readonly tunnels: Tunnels;
  readonly admission: Admission;
  readonly registers: Registry[];
}): void {
  const { tunnels, admission, registers } = parts;
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('waygate_devices', 'Devices that are connected.', () => tunnels.counts.devices);
  gauge('waygate_tunnels', 'Tunnels that are up.', () => tunnels.counts.tunnels);
  gauge('waygate_streams', 'Streams that are open in all tunnels.', () => tunnels.counts.streams);
  new Gauge({
    name: 'waygate_hellos',
    help: 'Attempts of devices to connect, by outcome, since the start.',
    labelNames: ['outcome'],
    registers,
    collect() {
      for (const [outcome, count] of admission.outcomes) this.set({ outcome }, count);
    },
  });
}
