// A name that goes to another device, or to nobody: who loses it loses also what visitors have open there,
// at once. A rename, which keeps the device, breaks nothing.
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../../device-client/sample.ts';
import { parseDeviceName } from '../../../dns/name.ts';
import { generateKey } from '../../../relay/protocol/key.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { echo, openWebSocket, untilStatus } from '../../world/visits.ts';

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
afterAll(() => sample.stop());

const [alice, robert] = [parseDeviceName('alice'), parseDeviceName('robert')];

/** An echo WebSocket to the workspace of alice. */
async function openVisit(vendor: Installation) {
  const files = await vendor.device('alice', { hello: sample.url });
  await vendor.relay();
  await files.start();
  const url = `https://hello.alice.${ZONE}:${vendor.port}/`;
  await untilStatus(vendor, url, 200, 10_000);
  const socket = await openWebSocket(vendor, `${url}ws`);
  expect(await echo(socket, 'before', 5_000)).toBe('before');
  return { files, url, socket };
}

describe.concurrent('a name with open visits', { timeout: 60_000 }, () => {
  it('cuts them when it is released', async () => {
    await using vendor = await Installation.make();
    const { socket } = await openVisit(vendor);
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
    if (alice === undefined) throw new Error('unreachable');
    const by = { kind: 'operator', user: 'test' } as const;
    await vendor.withRegistry((registry) => registry.release({ name: alice, by }));
    await closed;
  });

  it('cuts them when it goes to another key, although the old device is still connected', async () => {
    await using vendor = await Installation.make();
    const { files, socket } = await openVisit(vendor);
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
    const { thumbprint: replacing } = await files.makeKey();
    if (alice === undefined) throw new Error('unreachable');
    const deviceKey = generateKey('device').publicKey;
    const enrolment = { name: alice, deviceKey, replacing, actor: 'test' };
    await vendor.withRegistry((registry) => registry.enroll(enrolment));
    await closed;
  });

  it('keeps them when it is renamed', async () => {
    await using vendor = await Installation.make();
    const { socket, url } = await openVisit(vendor);
    if (alice === undefined || robert === undefined) throw new Error('unreachable');
    const by = { kind: 'operator', user: 'test' } as const;
    await vendor.withRegistry((registry) =>
      registry.perform(rename({ name: alice, to: robert, by })),
    );
    await untilStatus(vendor, url, 308, 5_000);
    expect(await echo(socket, 'after', 5_000)).toBe('after');
    socket.close();
  });
});
