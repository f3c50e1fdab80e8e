// What is wrong with the file of envelope keys, or with a text that was sealed under one of them.

export type EnvelopeErrorCode = 'ERR_ENVELOPE_FILE' | 'ERR_ENVELOPE_KEY' | 'ERR_ENVELOPE_TEXT';

/** The message never has a key, nor what was sealed. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
  readonly code: EnvelopeErrorCode;

  constructor(code: EnvelopeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
