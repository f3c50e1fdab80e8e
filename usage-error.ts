// The command line was understood, but not what was given to it: exit code 2.

export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'ERR_USAGE';
}
