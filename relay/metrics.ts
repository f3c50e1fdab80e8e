// The relay's own numbers for Prometheus, read when somebody asks; the entrance has its own.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Admission } from './admission.ts';
import type { PlainHttp } from './plain-http.ts';
import { gaugesOf } from './protocol/metrics.ts';
import type { Registry as NameRegistry } from './registry/registry.ts';
import type { Tunnels } from './tunnels.ts';

export function exposeTunnels(parts: {
  readonly tunnels: Tunnels;
  readonly admission: Admission;
  readonly registry: NameRegistry;
  readonly registers: Registry[];
}): void {
  const { tunnels, admission, registry, registers } = parts;
  const gauge = gaugesOf(registers);
  gauge('waygate_devices', 'Devices that are connected.', () => tunnels.counts.devices);
  gauge('waygate_tunnels', 'Tunnels that are up.', () => tunnels.counts.tunnels);
  gauge('waygate_streams', 'Streams that are open in all tunnels.', () => tunnels.counts.streams);
  gauge(
    'waygate_round_trip_seconds',
    'To the farthest device that is connected.',
    () => tunnels.longestRoundTripMs / 1_000,
  );
  gauge('waygate_names', 'Names in the registry.', () => registry.snapshot.size);
  gauge('waygate_registry_fault', '1 while the registry serves its last good snapshot.', () =>
    registry.fault === undefined ? 0 : 1,
  );
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

export function exposePlainHttp(plain: Pick<PlainHttp, 'counts'>, registers: Registry[]): void {
  new Counter({
    name: 'waygate_plain_http_total',
    help: 'Requests by plain HTTP, and connections that carried none, by how they ended.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      for (const [outcome, count] of plain.counts) this.inc({ outcome }, count);
    },
  });
}
