// The device: reads who it is, holds its tunnels, and carries what arrives to its workspaces.
import type { Logger } from 'pino';
import { makeInstance } from '../relay/protocol/hello.ts';
import { loadOrCreateKey, type SigningKey } from '../relay/protocol/key.ts';
import type { ProgramContext, Running } from '../relay/protocol/program-context.ts';
import { SOFTWARE } from '../relay/protocol/software.ts';
import { YoungBuffers } from '../relay/protocol/young-buffers.ts';
import { DeviceApi } from './api.ts';
import { Arrivals } from './arrival.ts';
import { DeviceCertificates } from './certificate.ts';
import { Clock } from './clock.ts';
import type { DeviceConfig } from './config.ts';
import { FirstBoot } from './first-boot.ts';
import { Identity } from './identity.ts';
import { exposeDevice } from './metrics.ts';
import { OwnNames } from './own-names.ts';
import { relayAddress } from './relay-address.ts';
import type { RelayAddress } from './tunnel.ts';
import { Tunnels } from './tunnels.ts';

/** Resolves when the first tunnel is up, or being waited for because the relay is away. */
export async function startDevice(config: DeviceConfig, context: ProgramContext): Promise<Running> {
  const { log } = context;
  const relay = await relayAddress(config);
  const clock = new Clock();
  const identity = await openIdentity(config, { relay, clock }, log);
  const firstBoot = firstBootOf(config, identity, log);
  const workspaces = new Map(config.workspaces.map(({ name, target }) => [name, target]));
  const arrivals = new Arrivals(workspaces, log);
  const ownNames = new OwnNames(log);
  const certificates = new DeviceCertificates({
    ...{ directory: config.certificates, clock, log },
    api: () => identity.api,
  });
  const tunnels = new Tunnels({
    relay,
    deviceKey: () => identity.key,
    instance: makeInstance(),
    software: SOFTWARE,
    youngBuffers: new YoungBuffers(),
    log,
    clock,
    accept: arrivals.accept,
    told: (welcome) => {
      ownNames.told(welcome);
      certificates.told(welcome);
    },
    disowned: async () => {
      const known = await identity.relearn();
      return known === true || (await firstBoot?.attempt()) === true || known;
    },
    changed: (connected, why) => {
      if (connected) context.ready({ key: identity.key.publicKey.text });
      else context.notReady(why);
    },
  });
  log.info({ key: identity.key.publicKey.text, relay: config.relay.url }, 'this device');
  exposeDevice({
    ...{ tunnels, arrivals, ownNames, certificates, clock },
    registers: [context.metrics],
  });
  await certificates.start();
  await tunnels.start();
  return {
    stop: async () => {
      await certificates.stop();
      await tunnels.stop();
    },
  };
}

async function openIdentity(
  config: DeviceConfig,
  { relay, clock }: { readonly relay: RelayAddress; readonly clock: Clock },
  log: Logger,
): Promise<Identity> {
  const apiOf = (deviceKey: SigningKey) =>
    new DeviceApi({ relay, deviceKey, clock, software: SOFTWARE });
  const key = await loadOrCreateKey(config.key, 'device');
  const identity = new Identity(key, { file: config.key, apiOf }, log);
  await identity.finishRotation();
  return identity;
}

function firstBootOf(
  { claim }: DeviceConfig,
  identity: Identity,
  log: Logger,
): FirstBoot | undefined {
  return claim && new FirstBoot({ claim, api: () => identity.api, log });
}
