// How a device that the relay does not know comes by its name without a person: it redeems the code that
// device.yaml points to. The code file stays; a code that was redeemed is harmless, and is not asked
// again unless the relay forgets the device.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Logger } from 'pino';
import { printable } from '../relay/entrance/printable.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import type { ClaimConfig } from './config.ts';

const FIRST_BOOT_LIMITS = {
  /** A code with its hyphens and a line end; a larger file is something else. */
  fileBytesMax: 256,
  /** Before a code that was refused is tried again: the vendor may order later. */
  retryRefusedMs: 600_000,
} as const;

export interface FirstBootOptions {
  readonly claim: ClaimConfig;
  readonly api: () => DeviceApi;
  readonly log: Logger;
}

export class FirstBoot {
  readonly #options: FirstBootOptions;
  #attempt: Promise<boolean> | undefined;
  /** The code that was refused last, and when it may be tried again. */
  #refused: { readonly code: string; readonly untilMs: number } | undefined;
  /** What was said last, so that it is said once. */
  #said = '';

  constructor(options: FirstBootOptions) {
    this.#options = options;
  }

  /** True: the device has a name now. Never rejects; both tunnels may ask at once. */
  attempt(): Promise<boolean> {
    this.#attempt ??= this.#try().finally(() => {
      this.#attempt = undefined;
    });
    return this.#attempt;
  }

  async #try(): Promise<boolean> {
    const { claim, api, log } = this.#options;
    const code = await this.#readCode();
    if (code === undefined) return false;
    const refused = this.#refused;
    if (refused?.code === code && performance.now() < refused.untilMs) return false;
    const { serial } = claim;
    try {
      const asked = { code, ...(serial === undefined ? {} : { serial }) };
      const answer = await api().ask('POST', '/v1/device/orders/redeem', asked);
      const name = printable(answer.text('name'), 64);
      this.#refused = undefined;
      this.#said = '';
      log.info({ name }, 'first boot: the code was redeemed, this device has its name');
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!error.passing) {
        const untilMs = performance.now() + FIRST_BOOT_LIMITS.retryRefusedMs * (1 + Math.random());
        this.#refused = { code, untilMs };
      }
      this.#say(`The code in ${claim.codeFile} was not redeemed. ${error.message}`);
      return false;
    }
  }

  async #readCode(): Promise<string | undefined> {
    const { codeFile } = this.#options.claim;
    try {
      // Without O_NONBLOCK, opening a FIFO would wait for ever.
      const handle = await open(codeFile, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const bytes = Buffer.alloc(FIRST_BOOT_LIMITS.fileBytesMax);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
        const code = bytes.toString('latin1', 0, bytesRead).trim();
        if (/^[\w -]{1,64}$/.test(code)) return code;
        this.#say(`The file ${codeFile} holds no code. Write the code of the order into it.`);
      } finally {
        await handle.close();
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
      this.#say(`The file ${codeFile} with the code cannot be read (${code}). Check the path.`);
    }
    return undefined;
  }

  #say(sentence: string): void {
    if (sentence === this.#said) return;
    this.#said = sentence;
    this.#options.log.error(sentence);
  }
}
