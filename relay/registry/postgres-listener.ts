// Hears at once of the deeds of other processes: LISTEN on a connection of its own, made again whenever
// it is lost. Nothing depends on it: whoever hears nothing looks by himself now and then.
import { Client, type ClientConfig } from 'pg';

const LISTENER_LIMITS = {
  /** Between two attempts to connect. */
  againMs: 1_000,
} as const;

/** One word for all: the database is the registry's own. */
export const CHANNEL = 'waygate_registry';

export class PostgresListener {
  readonly #config: ClientConfig;
  readonly #heard: () => void;
  #client: Client | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  /** `heard` is also called after a connection was lost, for what may have been missed. */
  constructor(config: ClientConfig, heard: () => void) {
    this.#config = config;
    this.#heard = heard;
    void this.#listen();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    await this.#client?.end().catch(() => undefined);
  }

  async #listen(): Promise<void> {
    const client = new Client(this.#config);
    this.#client = client;
    client.on('notification', this.#heard);
    client.on('error', () => undefined);
    client.once('end', () => this.#lost(client));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
      this.#heard();
    } catch {
      await client.end().catch(() => undefined);
      this.#lost(client);
    }
    if (this.#closed) await client.end().catch(() => undefined);
  }

  #lost(client: Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = undefined;
    this.#again = setTimeout(() => void this.#listen(), LISTENER_LIMITS.againMs);
    this.#again.unref();
  }
}
