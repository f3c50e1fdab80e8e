// A request of the device's that was refused, or did not come through. The message is for a person:
// what happened, and what to do.

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code = 'ERR_RELAY_API';
  /** The end of the relay's `urn:waygate:problem:...`; of our own: `unreachable`, `no-relay`, `answer`. */
  readonly kind: string;

  constructor(kind: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }

  /** Waiting may help: nobody has judged the request. */
  get passing(): boolean {
    return PASSING.has(this.kind);
  }
}

const PASSING: ReadonlySet<string> = new Set([
  'unreachable',
  'no-relay',
  'busy',
  'fault',
  'nonce',
  'registry-unavailable',
  'too-many-requests',
]);
