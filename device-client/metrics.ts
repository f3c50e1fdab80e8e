// The device's own numbers for Prometheus, read when somebody asks.
import { Gauge, type Registry } from 'prom-client';
import type { Arrivals } from './arrival.ts';
import type { OwnNames } from './own-names.ts';
import type { Tunnels } from './tunnels.ts';

export function exposeDevice(parts: {
  readonly tunnels: Tunnels;
  readonly arrivals: Arrivals;
  readonly ownNames: OwnNames;
  readonly registers: Registry[];
}): void {
  const { tunnels, arrivals, ownNames, registers } = parts;
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `waygate_device_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  const sum = (
    of: (session: { readonly streamCount: number; readonly receivedBytes: number }) => number,
  ) => [...tunnels.sessions].reduce((total, session) => total + of(session), 0);
  gauge('tunnels', 'Tunnels that are up.', () => tunnels.sessions.size);
  gauge('streams', 'Streams that are open.', () => sum((session) => session.streamCount));
  gauge('streams_accepted', 'Streams since the start.', () => arrivals.accepted);
  gauge('streams_refused', 'Streams for workspaces that are not here.', () => arrivals.refused);
  gauge(
    'round_trip_seconds',
    'To the farthest relay that is connected.',
    () => Math.max(0, ...[...tunnels.sessions].map((session) => session.roundTripMs ?? 0)) / 1_000,
  );
  gauge('tunnel_received_bytes', 'Bytes from the tunnels that are up.', () =>
    sum((session) => session.receivedBytes),
  );
  gauge(
    'recoveries',
    'New keys that wait to take a name of this device. Anything but 0 needs a person.',
    () => ownNames.recoveryCount,
  );
}
