// Why a name cannot be had, or not by this one. Whoever reads it learns the next step, and nothing of
// the holder: names are public, who has them is not.
import { RegistryError } from '../registry-error.ts';

export function taken(name: string): RegistryError {
  return new RegistryError('ERR_NAME_TAKEN', `The name ${name} is taken. Choose another name.`);
}

export function quarantined(name: string, untilMs: number): RegistryError {
  return new RegistryError(
    'ERR_NAME_QUARANTINED',
    `The name ${name} was released by somebody else, who may hold a certificate for it until ` +
      `${dayOf(untilMs)}. Choose another name, or wait.`,
  );
}

/** The same answer for a name of somebody else and for one that nobody has. */
export function notYours(name: string): RegistryError {
  return new RegistryError(
    'ERR_NOT_YOURS',
    `You have no name ${name}. See the list of your names for the right one.`,
  );
}

export function unknownName(name: string): RegistryError {
  return new RegistryError(
    'ERR_NAME_UNKNOWN',
    `No device has the name ${name}. See the list of names for the right one.`,
  );
}

export function recoveryWaits(name: string, dueMs: number): RegistryError {
  const due = new Date(dueMs).toISOString();
  return new RegistryError(
    'ERR_RECOVERY_WAITING',
    `The name ${name} is about to go to another device key (not before ${due}). Withdraw that recovery, or ` +
      'wait for its end.',
  );
}

/** `2026-11-30`, in UTC. */
function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
