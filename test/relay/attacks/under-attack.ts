// One vendor for all tests of a file.
import { afterAll, beforeAll } from 'vitest';
import { AttackedVendor } from './attacked-vendor.ts';

const START_WITHIN_MS = 90_000;

/** The vendor is there once the tests run. */
export function underAttack(): () => AttackedVendor {
  let vendor: AttackedVendor | undefined;
  beforeAll(async () => {
    vendor = await AttackedVendor.start();
  }, START_WITHIN_MS);
  afterAll(async () => {
    await vendor?.[Symbol.asyncDispose]();
  });
  return () => {
    if (vendor === undefined) throw new Error('no vendor before the tests run');
    return vendor;
  };
}
