// Which key this device is: the one in its file, until a rotation puts another one there, be it while
// the device runs (rotation.ts).
import type { Logger } from 'pino';
import type { SigningKey } from '../relay/protocol/key.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import { finishRotation, knownInstead, type Rotation } from './rotation.ts';

export class Identity {
  readonly #rotation: Rotation;
  readonly #log: Logger;
  #key: SigningKey;
  #relearning: Promise<boolean | undefined> | undefined;

  constructor(key: SigningKey, rotation: Rotation, log: Logger) {
    this.#key = key;
    this.#rotation = rotation;
    this.#log = log;
  }

  get key(): SigningKey {
    return this.#key;
  }

  /** Requests in the name of the present key. */
  get api(): DeviceApi {
    return this.#rotation.apiOf(this.#key);
  }

  /** Finishes a rotation that was broken off. A relay that is away now is asked when it refuses the key. */
  async finishRotation(): Promise<void> {
    try {
      const key = await finishRotation(this.#rotation);
      if (key === undefined) return;
      this.#key = key;
      this.#log.info(
        { key: key.publicKey.text },
        'a rotation of the key was broken off; it is done',
      );
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#log.warn(`A rotation of the key is not finished. ${error.message}`);
    }
  }

  /**
   * The relay does not know the key: looks for one that it knows, and resolves with whether there is one;
   * `undefined`: the relay could not be asked. Never rejects for a relay's sake.
   */
  relearn(): Promise<boolean | undefined> {
    this.#relearning ??= this.#relearn().finally(() => {
      this.#relearning = undefined;
    });
    return this.#relearning;
  }

  async #relearn(): Promise<boolean | undefined> {
    try {
      const key = await knownInstead(this.#rotation, this.#key.publicKey.thumbprint);
      if (key === undefined) return false;
      this.#key = key;
      this.#log.info({ key: key.publicKey.text }, 'this device has a new key');
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#log.warn(`Whether there is a new key for this device is not known. ${error.message}`);
      return undefined;
    }
  }
}
