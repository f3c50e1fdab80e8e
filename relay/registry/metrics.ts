// What every program that watches the relays tells Prometheus about them, and about the zone's source.
import { Gauge, type Registry } from 'prom-client';

export interface RelayCounts {
  readonly alive: number;
  readonly allStill: boolean;
}

export function exposeRelays(counts: () => RelayCounts, registers: Registry[]): void {
  gauge(
    registers,
    'waygate_relays_alive',
    'Relays that the zone leads visitors to.',
    () => counts().alive,
  );
  gauge(
    registers,
    'waygate_relays_all_still',
    '1 while no relay shows a sign of life, so that the last ones stay published.',
    () => Number(counts().allStill),
  );
}

export function exposeZoneSource(
  source: { readonly fault: Error | undefined },
  registers: Registry[],
): void {
  gauge(
    registers,
    'waygate_zone_source_fault',
    '1 while the last good zone is served, because the registry cannot be followed.',
    () => Number(source.fault !== undefined),
  );
}

function gauge(registers: Registry[], name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(read());
    },
  });
}
