// The relay that a configuration names. Apart from the program, because the verbs ask the same relay and
// need no tunnels.
import { readFile } from 'node:fs/promises';
import type { DeviceConfig } from './config.ts';
import type { RelayAddress } from './tunnel.ts';

/** Where the relay is, and how to know it; reads the CA's file. */
export async function relayAddress({ relay }: DeviceConfig): Promise<RelayAddress> {
  const { url, vendorKey, ca, address } = relay;
  return {
    url: new URL(url),
    vendorKey,
    ca: ca === undefined ? undefined : await readFile(ca, 'utf8'),
    address,
  };
}
