// What people use: a real browser with the CA imported, the printed address, and a real application that
// lives on WebSockets (Jupyter Notebook), through relay and device.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caFile, openAuthority } from '../../certs/authority.ts';
import { openStore } from '../../certs/store.ts';
import { parseHostname } from '../../dns/name.ts';
import { BROWSER_PROGRAMS, Browser } from '../world/browser.ts';
import { freePort } from '../world/free-port.ts';
import { requires } from '../world/requires.ts';
import { type Ready, readyLine, startTrial } from '../world/trial.ts';
import { until } from '../world/visits.ts';

const STEP_MS = 30_000;

const folder = mkdtempSync(join(tmpdir(), 'waygate-browsing-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** `waygate try`, until the end of the scope. */
async function tried(...args: readonly string[]): Promise<AsyncDisposable & { ready: Ready }> {
  const trial = startTrial(mkdtempSync(join(folder, 'try-')), '--port', '0', '--json', ...args);
  const end = async () => {
    trial.child.kill('SIGTERM');
    await trial.ended;
  };
  try {
    return { ready: await readyLine(trial), [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

const browsing = requires(...BROWSER_PROGRAMS);

describe.skipIf(browsing.skip)('a browser', { timeout: 120_000 }, () => {
  let trial: AsyncDisposable & { readonly ready: Ready };
  beforeAll(async () => {
    trial = await tried();
  }, STEP_MS);
  afterAll(() => trial[Symbol.asyncDispose]());

  it('does not trust the vendor before its CA is imported', async () => {
    const zone = parseHostname('vendor.localhost');
    if (zone === undefined) throw new Error('unreachable');
    const store = await openStore(mkdtempSync(join(folder, 'other-')));
    await openAuthority(store, zone);
    await using browser = await Browser.open(caFile(store, zone));
    const { page } = await browser.tab();
    const visit = page.goto(trial.ready.workspaces['hello'] ?? '', { timeout: STEP_MS });
    await expect(visit).rejects.toThrow(/ERR_CERT_AUTHORITY_INVALID/);
  });

  it('opens the printed address without a warning; echo and event stream run', async () => {
    await using browser = await Browser.open(trial.ready.ca);
    const url = trial.ready.workspaces['hello'] ?? '';
    const { page, wrongs } = await browser.tab();
    const response = await page.goto(url, { timeout: STEP_MS });
    expect(response?.status()).toBe(200);
    expect((await response?.securityDetails())?.issuer).toMatch(/^Waygate local CA/);
    for (const [id, live] of [
      ['ws', /^\d+\.\d ms · [2-9] echoes$/],
      ['sse', /^[2-9] events$/],
    ] as const) {
      await page.locator(`#${id} [data-live]`, { hasText: live }).waitFor({ timeout: STEP_MS });
    }
    const protocol = await page.evaluate(
      'performance.getEntriesByType("navigation")[0].nextHopProtocol',
    );
    expect(protocol).toBe('h2');
    expect(wrongs).toEqual([]);

    process.kill(trial.ready.device.pid, 'SIGKILL');
    const after = await browser.tab();
    await until(
      async () => (await after.page.goto(url, { timeout: STEP_MS }))?.status() === 503,
      STEP_MS,
      'the page of a device that is away',
    );
    expect(await after.page.locator('h1').textContent()).toBe('The device is away');
    expect(await page.locator('#ws [data-live]').textContent()).toMatch(/^closed after \d+/);
  });
});

const computing = requires(...BROWSER_PROGRAMS, 'jupyter-notebook');

const TOKEN = 'open-sesame';
const MISSING = '/nbextensions/widgets/notebook/js/extension.js';

/** Jupyter Notebook on a free port, with one notebook of one cell; ends with the scope. */
async function startNotebook(): Promise<AsyncDisposable & { readonly target: string }> {
  const home = mkdtempSync(join(folder, 'jupyter-'));
  const cell = { cell_type: 'code', source: ['print(6*7)'], metadata: {}, outputs: [] };
  const notebook = {
    cells: [{ ...cell, execution_count: null }],
    metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
    nbformat: 4,
    nbformat_minor: 4,
  };
  writeFileSync(join(home, 'sum.ipynb'), JSON.stringify(notebook));
  const port = await freePort();
  const options = [
    ...['--no-browser', '--ip=127.0.0.1', `--port=${port}`, '--port-retries=0', '--allow-root'],
    ...[`--NotebookApp.token=${TOKEN}`, '--NotebookApp.allow_remote_access=True'],
    `--notebook-dir=${home}`,
  ];
  const child = spawn('jupyter-notebook', options, {
    // Kernels are found by PATH, and must be those that Jupyter came with.
    env: { HOME: home, PATH: '/usr/sbin:/usr/bin:/sbin:/bin', JUPYTER_PLATFORM_DIRS: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const target = `http://127.0.0.1:${port}`;
  const end = async () => {
    // The first asks it to shut its kernels down.
    child.kill('SIGTERM');
    await ended;
  };
  try {
    const serves = () =>
      fetch(`${target}/api`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until(serves, STEP_MS, 'Jupyter Notebook');
  } catch (error) {
    await end();
    throw new Error(said, { cause: error });
  }
  return { target, [Symbol.asyncDispose]: end };
}

describe.skipIf(computing.skip)('Jupyter Notebook', { timeout: 120_000 }, () => {
  it('is used in a browser: a cell is run, and its answer comes back', async () => {
    await using notebook = await startNotebook();
    await using trial = await tried('--workspace', `notebook=${notebook.target}`);
    await using browser = await Browser.open(trial.ready.ca);
    const url = trial.ready.workspaces['notebook'] ?? '';
    const { page, wrongs } = await browser.tab();
    const sockets: string[] = [];
    page.on('websocket', (socket) => {
      sockets.push(socket.url());
      socket.on('socketerror', (error) => wrongs.push(`socket: ${error}`));
    });
    await page.goto(`${url}tree?token=${TOKEN}`, { timeout: STEP_MS });
    await page.locator('.item_link', { hasText: 'sum.ipynb' }).waitFor({ timeout: STEP_MS });
    await page.goto(`${url}notebooks/sum.ipynb`, { timeout: STEP_MS });
    await page.locator('.kernel_idle_icon').waitFor({ timeout: STEP_MS, state: 'attached' });
    await page.locator('.CodeMirror').first().click();
    await page.keyboard.press('Control+Enter');
    const output = page.locator('.output_stdout pre');
    await output.waitFor({ timeout: STEP_MS });
    expect(await output.textContent()).toBe('42\n');
    expect(sockets).toEqual([expect.stringMatching(/^wss:\/\/notebook\.demo\..*\/channels/)]);
    // Debian's Jupyter asks for an extension that it does not have, with or without us.
    expect((await fetch(`${notebook.target}${MISSING}?token=${TOKEN}`)).status).toBe(404);
    expect(wrongs.filter((wrong) => !wrong.includes(MISSING))).toEqual([]);
  });
});
