// A device's own certificate, with both programs as they are installed: it comes by itself, its owner can
// look how it stands, and a renamed device has another one.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Installation } from '../world/installation.ts';
import { jsonOf, runVerb } from '../world/verb.ts';

const WAIT_MS = 40_000;

it('a device has a certificate for a key of its own, for each of its names', async () => {
  await using vendor = await Installation.make();
  const files = await vendor.device('alice', { code: 'http://127.0.0.1:9' });
  await vendor.relay();
  const device = await files.start();
  const here = /^own certificate: a new one is here$/;
  expect(await device.said(here, WAIT_MS)).toMatchObject({ name: 'alice' });
  const config = ['--config', files.configFile];
  const { stdout } = await runVerb('device', 'status', ...config);
  expect(stdout).toMatch(/^cert {5}alice: until 20\S+Z, renewed from 20\S+Z on$/m);
  const { ops } = await device.ready();
  const metrics = await (await fetch(`${ops.url}/metrics`)).text();
  const days = /^waygate_device_certificate_days_left\{name="alice"\} (\S+)$/m.exec(metrics)?.[1];
  expect(Math.round(Number(days))).toBe(90);
  expect(metrics).toMatch(
    /^waygate_device_certificate_failed_timestamp_seconds\{name="alice"\} 0$/m,
  );

  const from = device.log.length;
  await jsonOf('device', 'rename', 'bob', ...config);
  expect(await device.saidAfter(from, here, WAIT_MS)).toMatchObject({ name: 'bob' });
  const kept = readdirSync(join(vendor.folder, 'alice', 'certificates'));
  expect(kept.filter((entry) => entry.endsWith('.pem')).toSorted()).toEqual([
    ...['alice.pem', 'bob.pem'],
  ]);
  const { certificates } = Object(await jsonOf('device', 'status', ...config));
  expect(certificates).toMatchObject([{ name: 'alice' }, { name: 'bob' }]);
  expect(await device.end('SIGTERM')).toBe(0);
}, 120_000);
