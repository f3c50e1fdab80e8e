// The device: reads who it is, holds its tunnels, and carries what arrives to its workspaces.
import { readFile } from 'node:fs/promises';
import { Gauge } from 'prom-client';
import { makeInstance } from '../relay/protocol/hello.ts';
import { loadOrCreateKey } from '../relay/protocol/key.ts';
import type { ProgramContext, Running } from '../relay/protocol/program-context.ts';
import { SOFTWARE } from '../relay/protocol/software.ts';
import { YoungBuffers } from '../relay/protocol/young-buffers.ts';
import { Arrivals } from './arrival.ts';
import type { DeviceConfig } from './config.ts';
import { Tunnels } from './tunnels.ts';

/** Resolves when the first tunnel is up, or being waited for because the relay is away. */
export async function startDevice(config: DeviceConfig, context: ProgramContext): Promise<Running> {
  const { log } = context;
  const deviceKey = await loadOrCreateKey(config.key, 'device');
  const { url, vendorKey, ca, address } = config.relay;
  const workspaces = new Map(config.workspaces.map(({ name, target }) => [name, target]));
  const arrivals = new Arrivals(workspaces, log);
  const tunnels = new Tunnels({
    relay: {
      url: new URL(url),
      vendorKey,
      ca: ca === undefined ? undefined : await readFile(ca, 'utf8'),
      address,
    },
    deviceKey,
    instance: makeInstance(),
    software: SOFTWARE,
    youngBuffers: new YoungBuffers(),
    log,
    accept: arrivals.accept,
    changed: (connected, why) => {
      if (connected) context.ready({ key: deviceKey.publicKey.text });
      else context.notReady(why);
    },
  });
  log.info({ key: deviceKey.publicKey.text, relay: url }, 'this device');
  exportMetrics(context, tunnels, arrivals);
  await tunnels.start();
  return { stop: () => tunnels.stop() };
}

function exportMetrics(context: ProgramContext, tunnels: Tunnels, arrivals: Arrivals): void {
  const registers = [context.metrics];
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
}
