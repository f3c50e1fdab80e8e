// Loaded into a program before its own code (NODE_OPTIONS='--expose-gc --import=...'): SIGUSR2 makes
// it collect all garbage, so that what its metrics then say of the heap is what it really holds.
process.on('SIGUSR2', () => {
  // Twice: the first time ends the life of handles, whose memory the second one frees.
  globalThis.gc?.();
  globalThis.gc?.();
});
