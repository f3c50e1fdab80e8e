// A new key for a device that has its old one. Each step is on the disk before the next begins, so that
// whenever the power fails, one of the two files holds the key that the relay knows:
//
//   device.key.next is written   both files, the relay knows the old key
//   the relay is told            both files, the relay knows the new key
//   .next is renamed over        one file, the relay knows it
//
// Whoever finds both files (the next start, or the same command again) goes on from there.
import {
  loadOrCreateKey,
  readKey,
  replaceKeyFile,
  type SigningKey,
} from '../relay/protocol/key.ts';
import { signKeyRotation } from '../relay/protocol/key-rotation.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import { askStanding } from './standing.ts';

export interface Rotation {
  /** Where the device's key lies. */
  readonly file: string;
  readonly apiOf: (key: SigningKey) => DeviceApi;
}

/** Where the new key waits for its turn. */
export function nextKeyFile(file: string): string {
  return `${file}.next`;
}

/** Begins a rotation, or goes on with one, and resolves with the new key once it is in its place. */
export async function rotate(rotation: Rotation): Promise<SigningKey> {
  const { file, apiOf } = rotation;
  const finished = await finishRotation(rotation);
  if (finished !== undefined) return finished;
  const current = await loadOrCreateKey(file, 'device');
  const { enrolled } = await askStanding(apiOf(current));
  if (!enrolled) {
    throw new ApiError(
      'device-unknown',
      'The relay does not know the key of this device, so there is nothing to hand over. Claim a ' +
        'name first: waygate device claim.',
    );
  }
  const next = await loadOrCreateKey(nextKeyFile(file), 'device');
  await handOver(rotation, current, next);
  return next;
}

/** Goes on with a rotation that was begun; `undefined`: none was. */
export async function finishRotation(rotation: Rotation): Promise<SigningKey | undefined> {
  const next = await readKey(nextKeyFile(rotation.file), 'device');
  if (next === undefined) return undefined;
  const current = await loadOrCreateKey(rotation.file, 'device');
  // Somebody else has just finished it.
  if (current.publicKey.thumbprint === next.publicKey.thumbprint) return next;
  await handOver(rotation, current, next);
  return next;
}

/**
 * For a device whose key the relay does not know any more: the key that it knows instead, which may
 * have been put in place, or told to the relay, by somebody else. `undefined`: there is none.
 */
export async function knownInstead(
  { file, apiOf }: Rotation,
  thumbprint: string,
): Promise<SigningKey | undefined> {
  // First the one that goes away: whoever puts it in place meanwhile makes the other one the new key.
  const next = await readKey(nextKeyFile(file), 'device');
  const current = await readKey(file, 'device');
  if (current !== undefined && current.publicKey.thumbprint !== thumbprint) return current;
  if (next === undefined || !(await askStanding(apiOf(next))).enrolled) return undefined;
  await replaceKeyFile(nextKeyFile(file), file);
  return next;
}

async function handOver(
  { file, apiOf }: Rotation,
  current: SigningKey,
  next: SigningKey,
): Promise<void> {
  const { host } = apiOf(current);
  const oldThumbprint = current.publicKey.thumbprint;
  const proof = await signKeyRotation({ host, oldThumbprint }, next);
  try {
    await apiOf(current).ask('POST', '/v1/device/key', { newKey: next.publicKey.text, proof });
  } catch (error) {
    // An earlier attempt may have come through: then the relay knows the new key, and not the old one.
    if (!(error instanceof ApiError) || error.passing) throw error;
    if (!(await askStanding(apiOf(next))).enrolled) throw error;
  }
  await replaceKeyFile(nextKeyFile(file), file);
}
