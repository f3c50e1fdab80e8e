// A `waygate try` that cannot go on. The message is for a person: what happened, why, what to do.

export class TryError extends Error {
  override readonly name = 'TryError';
  readonly code = 'ERR_TRY';
}
