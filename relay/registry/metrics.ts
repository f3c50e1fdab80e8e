// What every program that watches the relays tells Prometheus about them, and about the zone's source.
import type { Registry } from 'prom-client';
import { gaugesOf } from '../protocol/metrics.ts';

export interface RelayCounts {
  readonly alive: number;
  readonly allStill: boolean;
}

export function exposeRelays(counts: () => RelayCounts, registers: Registry[]): void {
  const gauge = gaugesOf(registers);
  gauge('waygate_relays_alive', 'Relays that the zone leads visitors to.', () => counts().alive);
  gauge(
    'waygate_relays_all_still',
    '1 while no relay shows a sign of life, so that the last ones stay published.',
    () => Number(counts().allStill),
  );
}

export function exposeZoneSource(
  source: { readonly fault: Error | undefined },
  registers: Registry[],
): void {
  gaugesOf(registers)(
    'waygate_zone_source_fault',
    '1 while the last good zone is served, because the registry cannot be followed.',
    () => Number(source.fault !== undefined),
  );
}
