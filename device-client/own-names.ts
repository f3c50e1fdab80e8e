// What this device was told of its names, kept for metrics, and said to a person when it changes: once,
// although two tunnels tell it.
import type { Logger } from 'pino';
import type { PendingRecovery, Welcome } from '../relay/protocol/welcome.ts';

export class OwnNames {
  readonly #log: Logger;
  #names: string | undefined;
  #recoveries: ReadonlyMap<string, PendingRecovery> = new Map();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** New keys that wait to take a name of this device. */
  get recoveryCount(): number {
    return this.#recoveries.size;
  }

  readonly told = ({ names, recoveries }: Welcome): void => {
    const joined = names.join(', ');
    if (joined !== this.#names) {
      if (names.length === 0) this.#log.warn(NO_NAME);
      else if (this.#names !== undefined)
        this.#log.warn({ names }, 'the names of this device have changed');
      this.#names = joined;
    }
    const before = this.#recoveries;
    this.#recoveries = new Map(recoveries.map((each) => [each.id, each]));
    for (const [id, each] of this.#recoveries) {
      const known = before.get(id);
      if (known === undefined || known.waitsForMail !== each.waitsForMail) this.#begun(each);
    }
    for (const [id, { name }] of before) {
      if (this.#recoveries.has(id)) continue;
      this.#log.warn({ recovery: id, name }, `The recovery of ${name} is over.`);
    }
  };

  #begun({ id, name, dueAt, waitsForMail }: PendingRecovery): void {
    const when = waitsForMail
      ? `not before ${dueAt} (its time begins when the mail server has taken the letter to its owner)`
      : `at ${dueAt}`;
    this.#log.warn(
      { recovery: id, name, dueAt },
      `Another device is to get the name ${name}: it will, ${when}, and this one will lose it. ` +
        `If that is not wanted, stop it: waygate device veto ${id} --config device.yaml`,
    );
  }
}

const NO_NAME =
  'This device has no name, so no visitor reaches it. Claim one: waygate device claim --config ' +
  'device.yaml. It works as soon as it is confirmed.';
