// What Node has made of our files once, it need not make again: more than half of the CPU time of a
// start. The place belongs to whoever installed us; where it cannot be written, each start does the whole
// work. Node's own default, a directory that all users of the machine share, would run what they put there.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';

/** Before anything else is loaded. */
export function startCompileCache(): void {
  enableCompileCache(join(import.meta.dirname, 'node_modules/.cache/waygate'));
}

/**
 * When a program is loaded: one that is killed would never write it. Before any setting of V8 changes,
 * because V8 refuses what was written under other settings.
 */
export function keepCompiled(): void {
  flushCompileCache();
}
