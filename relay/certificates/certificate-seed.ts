// A number that belongs to a certificate for as long as it lives, and is spread evenly over all: by it
// renewals are spread, and a restart changes nothing.
import { createHash } from 'node:crypto';

/** From 0 to below 1. */
export function seedOf(serial: string): number {
  return createHash('sha256').update(serial).digest().readUInt32BE() / 2 ** 32;
}
