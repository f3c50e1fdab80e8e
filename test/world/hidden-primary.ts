// Our own name server as hidden primary in this process: a zone in memory, transfers, NOTIFY. It can be
// stopped and started on the same port, as a process is that is updated.
import pino from 'pino';
import { Notifier } from '../../dns/notify.ts';
import { NameServer } from '../../dns/server.ts';
import type { NotifyLimits } from '../../dns/told-secondary.ts';
import { ZoneTransfers } from '../../dns/transfer.ts';
import {
  DEFAULT_TRANSFER_LIMITS,
  type SecondarySetting,
  type TransferLimits,
} from '../../dns/transfer-settings.ts';
import { makeTsigKey, TsigKeys } from '../../dns/tsig-key.ts';
import type { Zone } from '../../dns/zone.ts';
import { MemoryZone } from '../../dns/zone-source.ts';

import { freePort, NAME_SERVER_KEY, NAME_SERVER_SECRET } from './public-name-server.ts';

export const TEST_KEY = makeTsigKey({
  name: NAME_SERVER_KEY,
  algorithm: 'hmac-sha256',
  secret: Buffer.from(NAME_SERVER_SECRET, 'base64'),
});

export interface PrimaryOptions {
  readonly transfers?: Partial<TransferLimits>;
  readonly notify?: Partial<NotifyLimits>;
}

export class HiddenPrimary implements AsyncDisposable {
  readonly address = '127.0.0.1';
  readonly port: number;
  readonly log: string[] = [];
  /** Set another one while it is stopped: a process that has forgotten its steps. */
  source: MemoryZone;
  readonly #options: PrimaryOptions;
  #secondaries: readonly SecondarySetting[] = [settingOf('anybody', 1, false)];
  #running: Running | undefined;

  private constructor(zone: Zone, port: number, options: PrimaryOptions) {
    this.source = new MemoryZone(zone);
    this.port = port;
    this.#options = options;
  }

  static async start(zone: Zone, options: PrimaryOptions = {}): Promise<HiddenPrimary> {
    const primary = new HiddenPrimary(zone, await freePort(), options);
    await primary.run();
    return primary;
  }

  get transfers(): ZoneTransfers {
    return this.#now().transfers;
  }

  get notifier(): Notifier {
    return this.#now().notifier;
  }

  /** What its log says of transfers of that kind that went well, since the beginning. */
  transferred(kind: 'axfr' | 'ixfr', secondary?: string): string[] {
    return this.log.filter(
      (line) =>
        line.includes(`"kind":"${kind}"`) &&
        line.includes('zone transferred') &&
        (secondary === undefined || line.includes(`"secondary":"${secondary}"`)),
    );
  }

  /** From now on it has these secondaries, which it tells of changes. */
  async serve(secondaries: readonly SecondarySetting[]): Promise<void> {
    await this.stop();
    this.#secondaries = secondaries;
    await this.run();
  }

  async run(): Promise<void> {
    const log = pino({ level: 'debug' }, { write: (line) => this.log.push(line) });
    const { source, port } = this;
    const secondaries = this.#secondaries;
    const transfers: ZoneTransfers = new ZoneTransfers({
      source,
      keys: new TsigKeys([TEST_KEY]),
      secondaries,
      limits: { ...DEFAULT_TRANSFER_LIMITS, ...this.#options.transfers },
      answer: (question, asker) => server.answer(question, asker),
      log,
    });
    const { special } = transfers;
    const server = new NameServer({
      listen: [{ address: '127.0.0.1', port }],
      source,
      special,
      responsesPerSecond: 0,
    });
    const notifier = new Notifier({
      source,
      secondaries: secondaries.map((setting) => ({ setting, key: TEST_KEY })),
      notifyFrom: ['127.0.0.1'],
      log,
      limits: this.#options.notify ?? {},
    });
    await server.start();
    notifier.start();
    this.#running = { server, transfers, notifier };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.notifier.stop();
    await running?.server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #now(): Running {
    if (this.#running === undefined) throw new Error('the primary does not run');
    return this.#running;
  }
}

interface Running {
  readonly server: NameServer;
  readonly transfers: ZoneTransfers;
  readonly notifier: Notifier;
}

/** What dns.yaml would say of a server on this machine. */
export function settingOf(name: string, port: number, notify = true): SecondarySetting {
  return { name, address: '127.0.0.1', port, key: NAME_SERVER_KEY, notify };
}
