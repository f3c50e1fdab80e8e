// A real Chromium that trusts a vendor's CA as a person would make it: by importing the certificate. It
// has a home of its own, so that nothing is remembered between tests.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './requires.ts';

// The types of playwright-core need those of the DOM, and with these every file here would believe to
// run in a browser. So it is loaded without types, and what we use of it is said here.
const require = createRequire(import.meta.url);
const { chromium }: { readonly chromium: Chromium } = require('playwright-core');

interface Chromium {
  launchPersistentContext(
    folder: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<BrowserContext>;
}

interface BrowserContext {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

interface PageEvents {
  console: { type(): string; text(): string; location(): { readonly url: string } };
  pageerror: Error;
  requestfailed: { url(): string; failure(): { readonly errorText: string } | null };
  response: Response;
  websocket: WebSocket;
}

interface WebSocket {
  url(): string;
  on(event: 'socketerror', listener: (error: string) => void): void;
}

interface Response {
  url(): string;
  status(): number;
  securityDetails(): Promise<{ readonly issuer?: string } | null>;
}

interface Waiting {
  readonly timeout: number;
}

interface Locator {
  first(): Locator;
  nth(index: number): Locator;
  click(): Promise<void>;
  check(): Promise<void>;
  fill(text: string): Promise<void>;
  textContent(): Promise<string | null>;
  waitFor(options: Waiting & { readonly state?: 'attached' | 'visible' }): Promise<void>;
}

export interface Page {
  readonly keyboard: { press(keys: string): Promise<void> };
  goto(url: string, options: Waiting): Promise<Response | null>;
  evaluate(script: string): Promise<unknown>;
  url(): string;
  screenshot(options: { readonly path?: string; readonly fullPage?: boolean }): Promise<Buffer>;
  setViewportSize(size: { readonly width: number; readonly height: number }): Promise<void>;
  locator(selector: string, options?: { readonly hasText: string | RegExp }): Locator;
  on<Name extends keyof PageEvents>(
    event: Name,
    listener: (subject: PageEvents[Name]) => void,
  ): void;
}

/** What a suite must ask `requires` for; certutil is in Debian's libnss3-tools. */
export const BROWSER_PROGRAMS = ['chromium', 'certutil'] as const;

export interface BrowserOptions {
  readonly dark?: boolean;
  /** Hostnames that are this machine, as Chromium's pattern: `*.vendor.test`. */
  readonly here?: string;
  /** Pages get no scripts. */
  readonly noScript?: boolean;
}

const CERTUTIL_WITHIN_MS = 20_000;
const LAUNCH_WITHIN_MS = 60_000;

export class Browser implements AsyncDisposable {
  readonly context: BrowserContext;
  readonly #home: string;

  private constructor(context: BrowserContext, home: string) {
    this.context = context;
    this.#home = home;
  }

  /** `ca`: the PEM file that `waygate try` prints. */
  static async open(
    ca: string,
    { dark = false, here, noScript = false }: BrowserOptions = {},
  ): Promise<Browser> {
    const home = mkdtempSync(join(tmpdir(), 'waygate-browser-'));
    try {
      const database = join(home, '.pki', 'nssdb');
      mkdirSync(database, { recursive: true });
      certutil('-N', '-d', `sql:${database}`, '--empty-password');
      certutil('-A', '-d', `sql:${database}`, '-n', 'waygate', '-t', 'C,,', '-i', ca);
      const context = await chromium.launchPersistentContext(join(home, 'profile'), {
        executablePath: findProgram('chromium') ?? 'chromium',
        headless: true,
        timeout: LAUNCH_WITHIN_MS,
        colorScheme: dark ? 'dark' : 'light',
        javaScriptEnabled: !noScript,
        args:
          here === undefined
            ? ARGUMENTS
            : [...ARGUMENTS, `--host-resolver-rules=MAP ${here} 127.0.0.1`],
        env: { HOME: home, PATH: process.env['PATH'] ?? '' },
      });
      return new Browser(context, home);
    } catch (error) {
      rmSync(home, { recursive: true, force: true });
      throw error;
    }
  }

  /** A tab, and everything that goes wrong in it. */
  async tab(): Promise<{ readonly page: Page; readonly wrongs: string[] }> {
    const page = await this.context.newPage();
    const wrongs: string[] = [];
    page.on('console', (message) => {
      if (message.type() !== 'error') return;
      wrongs.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => wrongs.push(`page: ${error.message}`));
    page.on('requestfailed', (request) =>
      wrongs.push(`request: ${request.url()} ${request.failure()?.errorText}`),
    );
    page.on('response', (response) => {
      if (response.status() >= 400) wrongs.push(`status: ${response.status()} ${response.url()}`);
    });
    return { page, wrongs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'],
  // There is no proxy to look for.
  '--no-proxy-server',
];

function certutil(...args: readonly string[]): void {
  const program = findProgram('certutil') ?? 'certutil';
  execFileSync(program, args, { timeout: CERTUTIL_WITHIN_MS, stdio: ['ignore', 'ignore', 'pipe'] });
}
