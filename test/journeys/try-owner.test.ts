// `waygate try` as an owner sees it: the device has its name by an order, and signing in needs no mail.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readyLine, startTrial, type Trial, visit } from '../world/trial.ts';
import { jsonOf } from '../world/verb.ts';

const opened: { readonly folder: string; readonly trial: Trial }[] = [];

function start(folder = mkdtempSync(join(tmpdir(), 'waygate-try-'))) {
  const trial = startTrial(folder, '--port', '0', '--json');
  opened.push({ folder, trial });
  return { folder, trial };
}

afterEach(async () => {
  for (const { trial, folder } of opened.splice(0)) {
    trial.child.kill('SIGTERM');
    await trial.ended;
    rmSync(folder, { recursive: true, force: true });
  }
});

describe('waygate try', { timeout: 120_000 }, () => {
  it('gives its device the name by the code of an order, and keeps the name that it gets later', async () => {
    const { folder, trial } = start();
    await readyLine(trial);
    expect(readFileSync(join(folder, 'device.code'), 'utf8')).toMatch(/^WG-[0-9A-Z-]{23}\n$/);
    expect(readFileSync(join(folder, 'device.log'), 'utf8')).toContain('the code was redeemed');
    const config = ['--config', join(folder, 'device.yaml')];
    await jsonOf('device', 'rename', 'attic-box', ...config);
    trial.child.kill('SIGTERM');
    await trial.ended;
    const again = await readyLine(start(folder).trial);
    const url = again.workspaces['hello'] ?? '';
    expect(url).toContain('https://hello.attic-box.vendor.localhost:');
    expect((await visit(url, again)).status).toBe(200);
  });

  it('shows the sign-in link that somebody asks for, as a line for scripts', async () => {
    const { folder, trial } = start();
    const ready = await readyLine(trial);
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
});
