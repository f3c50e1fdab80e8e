// A device and its workspaces come and go while visitors come. Every visitor gets an answer soon: from
// the workspace, or a page that says what is wrong.
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Installation, ZONE } from '../../world/installation.ts';
import { type Outcome, SteadyVisitors, tally } from '../../world/steady-visitors.ts';
import { ask, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

let vendor: Installation;
beforeAll(async () => {
  vendor = await Installation.make({ more: 'accessLog: false\n' });
  await vendor.relay();
}, 60_000);
afterAll(() => vendor[Symbol.asyncDispose]());

function slowestMs(outcomes: readonly Outcome[]): number {
  return Math.max(...outcomes.map(({ tookMs }) => tookMs));
}

describe.concurrent('a device under load', { timeout: 60_000 }, () => {
  it('finishes what is under way when it is stopped, and fails nobody', async () => {
    await using workspace = await startWorkspace((request, response) => {
      if (request.url === '/slow') setTimeout(() => response.end('slow'), 1_000);
      else response.end('quick');
    });
    const files = await vendor.device('alice', { code: workspace.target });
    const url = `https://code.alice.${ZONE}:${vendor.port}/`;
    let device = await files.start();
    await untilStatus(vendor, url, 200, 10_000);
    const fresh = new SteadyVisitors(vendor, url, { visitors: 4 });
    const kept = new SteadyVisitors(vendor, url, { visitors: 4, keepAlive: true });
    for (let round = 0; round < 2; round++) {
      await pause(500);
      const slow = Array.from({ length: 5 }, () => ask(vendor, `${url}slow`));
      await pause(300);
      const stoppedAtMs = performance.now();
      expect(await device.end('SIGTERM')).toBe(0);
      // Kept connections that ask for nothing do not hold it up.
      expect(performance.now() - stoppedAtMs).toBeLessThan(5_000);
      for (const { status, body } of await Promise.all(slow)) {
        expect([status, body]).toEqual([200, 'slow']);
      }
      await untilStatus(vendor, url, 503, 5_000);
      device = await files.start();
      expect(await untilStatus(vendor, url, 200, 10_000)).toBeLessThan(5_000);
    }
    const outcomes = [...(await fresh.stop()), ...(await kept.stop())];
    expect(Object.keys(tally(outcomes)).toSorted()).toEqual(['200', '503']);
    expect(slowestMs(outcomes)).toBeLessThan(5_000);
  });

  it('breaks what is under way when it dies, and nobody waits', async () => {
    await using workspace = await startWorkspace((request, response) => {
      if (request.url === '/') response.end('quick');
    });
    const files = await vendor.device('bob', { code: workspace.target });
    const url = `https://code.bob.${ZONE}:${vendor.port}/`;
    const device = await files.start();
    await untilStatus(vendor, url, 200, 10_000);
    const fresh = new SteadyVisitors(vendor, url, { visitors: 4 });
    const kept = new SteadyVisitors(vendor, url, { visitors: 4, keepAlive: true });
    const unanswered = ask(vendor, `${url}never`);
    const posted = ask(vendor, `${url}never`, { method: 'POST' });
    await pause(500);
    const killedAtMs = performance.now();
    await device.end('SIGKILL');
    // Not one byte of an answer has come: a page can still be given.
    const pages = await Promise.all([unanswered, posted]);
    expect(pages.map(({ status }) => status)).toEqual([503, 503]);
    expect(performance.now() - killedAtMs).toBeLessThan(3_000);
    await files.start();
    await untilStatus(vendor, url, 200, 10_000);
    const outcomes = [...(await fresh.stop()), ...(await kept.stop())];
    expect(Object.keys(tally(outcomes)).toSorted()).toEqual(['200', '503']);
    expect(slowestMs(outcomes)).toBeLessThan(5_000);
  });

  it('publishes what device.yaml says after a restart, and no more', async () => {
    await using workspace = await startWorkspace('one');
    await using other = await startWorkspace('two');
    const files = await vendor.device('carol', { one: workspace.target });
    const at = (name: string) => `https://${name}.carol.${ZONE}:${vendor.port}/`;
    const device = await files.start();
    await untilStatus(vendor, at('one'), 200, 10_000);
    const missing = await ask(vendor, at('two'));
    expect([missing.status, missing.body]).toEqual([404, expect.stringMatching(/no workspace/)]);

    files.write({ workspaces: { two: other.target } });
    // A file that was changed changes nothing yet.
    expect((await ask(vendor, at('one'))).status).toBe(200);
    await device.end('SIGTERM');
    await files.start();
    await untilStatus(vendor, at('two'), 200, 10_000);
    expect((await ask(vendor, at('two'))).body).toBe('two');
    expect((await ask(vendor, at('one'))).status).toBe(404);
  });

  it('F-15 says at once that a workspace is down, and serves it as soon as it is up', async () => {
    const workspace = await startWorkspace('here');
    const files = await vendor.device('dave', { code: workspace.target });
    const url = `https://code.dave.${ZONE}:${vendor.port}/`;
    const device = await files.start();
    await untilStatus(vendor, url, 200, 10_000);
    await workspace.stop();
    const startedAtMs = performance.now();
    const page = await ask(vendor, url, { headers: { accept: 'application/json' } });
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
    expect([page.status, JSON.parse(page.body).type]).toEqual([
      502,
      'urn:waygate:problem:workspace-unreachable',
    ]);
    expect(Number(page.headers['retry-after'])).toBeGreaterThan(0);
    await using _ = await startWorkspace('again', Number(new URL(workspace.target).port));
    expect((await ask(vendor, url)).body).toBe('again');
    expect(device.count(/^tunnel: ended$/)).toBe(0);
  });
});
