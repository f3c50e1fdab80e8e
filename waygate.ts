#!/usr/bin/env node
// The command line's first file, and a small one: what is loaded before the compile cache is there is
// compiled anew at each start, so that everything else is loaded after it.
import { startCompileCache } from './compile-cache.ts';

startCompileCache();
const { runCommandLine } = await import('./waygate-root.ts');
await runCommandLine(process.argv.slice(2));
