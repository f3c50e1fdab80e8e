// The device's own numbers for Prometheus, read when somebody asks.
import { Gauge, type Registry } from 'prom-client';
import { gaugesOf } from '../relay/protocol/metrics.ts';
import type { Arrivals } from './arrival.ts';
import type { CertificateStanding, DeviceCertificates } from './certificate.ts';
import type { Clock } from './clock.ts';
import type { OwnNames } from './own-names.ts';
import type { Tunnels } from './tunnels.ts';

export function exposeDevice(parts: {
  readonly tunnels: Tunnels;
  readonly arrivals: Arrivals;
  readonly ownNames: OwnNames;
  readonly certificates: DeviceCertificates;
  readonly clock: Clock;
  readonly registers: Registry[];
}): void {
  const { tunnels, arrivals, ownNames, certificates, clock, registers } = parts;
  const gauge = gaugesOf(registers, 'waygate_device_');
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
  const ofCertificates = (
    name: string,
    help: string,
    read: (standing: CertificateStanding) => number,
  ): void => {
    new Gauge({
      name: `waygate_device_certificate_${name}`,
      help,
      labelNames: ['name'],
      registers,
      collect() {
        this.reset();
        for (const each of certificates.standings()) this.set({ name: each.name }, read(each));
      },
    });
  };
  ofCertificates(
    'days_left',
    'Until the certificate for a key of this device ends, by the relay; 0: there is none.',
    ({ notAfterMs = 0 }) => Math.max(0, notAfterMs - clock.now()) / DAY_MS,
  );
  ofCertificates(
    'failed_timestamp_seconds',
    'When the last attempt to get a certificate failed; 0: it did not.',
    ({ failedAtMs = 0 }) => failedAtMs / 1_000,
  );
}

const DAY_MS = 86_400_000;
