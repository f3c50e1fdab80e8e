// `waygate try` as an owner sees it: the device has its name by an order, and signing in needs no mail.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ready, readyLine, startTrial, type Trial, visit } from '../world/trial.ts';
import { jsonOf } from '../world/verb.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-try-'));
let trial: Trial;
let ready: Ready;

async function start(): Promise<void> {
  trial = startTrial(folder, '--port', '0', '--json');
  ready = await readyLine(trial);
}

async function stop(): Promise<void> {
  trial.child.kill('SIGTERM');
  await trial.ended;
}

beforeAll(start, 60_000);
afterAll(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('waygate try', { timeout: 120_000 }, () => {
  it('shows the sign-in link that somebody asks for, as a line for scripts', async () => {
    const { hostname, host, origin } = new URL(ready.portal);
    const body = new URLSearchParams({ email: 'me@example.org' }).toString();
    const asked = request({
      ...{ method: 'POST', host: ready.relay.address, port: ready.relay.port },
      ...{ path: '/sign-in/mail', servername: hostname, ca: readFileSync(ready.ca), agent: false },
      headers: { host, origin, 'content-type': 'application/x-www-form-urlencoded' },
    });
    asked.on('response', (response) => response.resume());
    asked.end(body);
    const [, line = ''] = await trial.printed(/^({"event":"sign-in".*})$/m);
    const { url } = JSON.parse(line);
    expect(url).toMatch(new RegExp(`^${origin.replaceAll('.', '\\.')}/sign-in/`));
    expect((await visit(url, ready)).status).toBe(200);
    expect(existsSync(join(folder, 'relay.log'))).toBe(true);
  });

  it('gives its device the name by the code of an order, and keeps the name that it gets later', async () => {
    expect(readFileSync(join(folder, 'device.code'), 'utf8')).toMatch(/^WG-[0-9A-Z-]{23}\n$/);
    expect(readFileSync(join(folder, 'device.log'), 'utf8')).toContain('the code was redeemed');
    const config = ['--config', join(folder, 'device.yaml')];
    await jsonOf('device', 'rename', 'attic-box', ...config);
    await stop();
    await start();
    const url = ready.workspaces['hello'] ?? '';
    expect(url).toContain('https://hello.attic-box.vendor.localhost:');
    expect((await visit(url, ready)).status).toBe(200);
  });
});
