// A folder that is costly to make and the same for all who want it: made once, and whole when it is there.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** `make` creates the folder that it is given. Another process may be there first: that is as good. */
export function madeOnce(place: string, make: (folder: string) => void): void {
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  const beside = mkdtempSync(join(dirname(place), 'made-'));
  try {
    const folder = join(beside, 'whole');
    make(folder);
    rename(folder, place);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}

function rename(folder: string, place: string): void {
  try {
    renameSync(folder, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  }
}
