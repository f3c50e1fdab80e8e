// One device key in two places, each with a workspace that says which one it is.
import { DeviceFiles, type Installation, ZONE } from './installation.ts';
import type { ProgramProcess } from './program-process.ts';
import { ask } from './visits.ts';
import { startWorkspace } from './workspaces.ts';

/** What a device says that another one with its key has superseded. */
export const SUPERSEDED = /copy of this key, and the relay serves that one now/;

export interface TwoPlaces extends AsyncDisposable {
  readonly original: DeviceFiles;
  readonly copy: DeviceFiles;
  /** `original` or `copy`: who answers visitors now; empty when nobody does. */
  whoAnswers(): Promise<string>;
}

export async function twoPlaces(vendor: Installation): Promise<TwoPlaces> {
  await using open = new AsyncDisposableStack();
  const one = open.use(await startWorkspace('original'));
  const other = open.use(await startWorkspace('copy'));
  const original = await vendor.device('alice', { code: one.target });
  const copy = new DeviceFiles(vendor, 'copy');
  copy.write({ workspaces: { code: other.target }, key: original.keyFile });
  const url = `https://code.alice.${ZONE}:${vendor.port}/`;
  const all = open.move();
  return {
    original,
    copy,
    async whoAnswers() {
      const seen = await ask(vendor, url).catch(() => undefined);
      return seen?.status === 200 ? seen.body : '';
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Status and text of `/readyz`. */
export async function readiness(program: ProgramProcess): Promise<string> {
  const { ops } = await program.ready();
  const response = await fetch(`${ops.url}/readyz`);
  return `${response.status} ${await response.text()}`;
}

/** Of the tunnel that came up last. */
export function epochOf(device: ProgramProcess): number {
  return Number(device.log.findLast(({ msg }) => msg === 'tunnel: up')?.['epoch']);
}
