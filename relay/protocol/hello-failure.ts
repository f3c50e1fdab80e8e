// Why a hello failed: codes for programs, sentences for people. Both sides show the other's view, so
// the sentences say who saw what, and never contain a token, a nonce or a key.
import type { TokenFault } from './token.ts';

export type HelloErrorCode =
  | 'ERR_HELLO_MALFORMED'
  | 'ERR_HELLO_TOO_LARGE'
  | 'ERR_HELLO_TYPE'
  | 'ERR_HELLO_UNKNOWN_DEVICE'
  | 'ERR_HELLO_SIGNATURE'
  | 'ERR_HELLO_AUDIENCE'
  | 'ERR_HELLO_NONCE'
  | 'ERR_HELLO_NONCE_USED'
  | 'ERR_HELLO_EXPIRED'
  | 'ERR_HELLO_EXPORTER'
  | 'ERR_HELLO_SOFTWARE'
  | 'ERR_HELLO_SUPERSEDED'
  | 'ERR_HELLO_VERSION';

export interface HelloFailure {
  readonly ok: false;
  readonly code: HelloErrorCode;
  readonly message: string;
}

export type HelloResult<Value> = { readonly ok: true; readonly value: Value } | HelloFailure;

/** The relay's message is a challenge, the device's a proof. */
export type HelloPart = 'challenge' | 'proof';

export function helloFailure(code: HelloErrorCode, part: HelloPart): HelloFailure {
  return { ok: false, code, message: MESSAGES[code][part] };
}

export function tokenFailure(fault: TokenFault, part: HelloPart): HelloFailure {
  return helloFailure(FAULT_CODES[fault], part);
}

/** What a relay's refusal means: it has only room for the code, and for a few words after it. */
export function readRefusal(reason: string): HelloFailure | undefined {
  const [code = '', ...words] = reason.split(' ');
  if (!isHelloErrorCode(code)) return undefined;
  const { message } = helloFailure(code, 'proof');
  if (code !== 'ERR_HELLO_SOFTWARE' || !/^[\x20-\x7e]*$/.test(reason)) {
    return { ok: false, code, message };
  }
  const [, have, , need, url] = words;
  const found = have === undefined ? '' : ` It is ${have}.`;
  const needed = need === undefined || need === 'another' ? '' : ` At least ${need} is needed.`;
  const where = url === undefined ? '' : ` It is found at ${url}`;
  return { ok: false, code, message: message + found + needed + where };
}

function isHelloErrorCode(code: string): code is HelloErrorCode {
  return Object.hasOwn(MESSAGES, code);
}

const FAULT_CODES: Readonly<Record<TokenFault, HelloErrorCode>> = {
  'too-large': 'ERR_HELLO_TOO_LARGE',
  malformed: 'ERR_HELLO_MALFORMED',
  'wrong-type': 'ERR_HELLO_TYPE',
  'unknown-key': 'ERR_HELLO_UNKNOWN_DEVICE',
  'bad-signature': 'ERR_HELLO_SIGNATURE',
};

const MIDDLE =
  'Somebody in between ends the TLS connection, such as a proxy that inspects traffic. ' +
  'Let this device connect directly.';

const MESSAGES: Readonly<Record<HelloErrorCode, Readonly<Record<HelloPart, string>>>> = {
  ERR_HELLO_MALFORMED: {
    challenge: 'The relay sent a challenge that this version cannot read. Update the device.',
    proof: 'The device sent a proof that this relay cannot read. Update the device.',
  },
  ERR_HELLO_TOO_LARGE: {
    challenge: 'The relay sent a challenge that is far too large. Is this address a Waygate relay?',
    proof: 'The device sent a proof that is far too large.',
  },
  ERR_HELLO_TYPE: {
    challenge: 'The relay sent another kind of token than a challenge.',
    proof: 'The device sent another kind of token than a proof.',
  },
  ERR_HELLO_UNKNOWN_DEVICE: {
    challenge: 'The challenge names no key that this device knows.',
    proof:
      'This device key is not enrolled here, or it was revoked. Claim a name with "waygate device ' +
      'claim", or have the vendor enroll the key that the device shows at its start.',
  },
  ERR_HELLO_SIGNATURE: {
    challenge:
      'The challenge is not signed by the vendor key that this device is configured with. Either ' +
      'the configured key is wrong, or this is not the relay of that vendor.',
    proof: 'The proof is not signed by the device key that it names.',
  },
  ERR_HELLO_AUDIENCE: {
    challenge:
      'The challenge comes from a relay of another hostname than the one that was dialled. Use ' +
      "the relay's own hostname in the configuration.",
    proof: 'The proof was made for another relay.',
  },
  ERR_HELLO_NONCE: {
    challenge: 'The challenge was made for another connection.',
    proof: 'The proof answers another challenge than the one of this connection.',
  },
  ERR_HELLO_NONCE_USED: {
    challenge: 'The challenge was answered before.',
    proof: 'A challenge takes one answer, and this one had its answer. Connect again.',
  },
  ERR_HELLO_EXPIRED: {
    challenge: 'The challenge is too old.',
    proof: 'The proof came more than 10 seconds after the challenge. Connect again.',
  },
  ERR_HELLO_EXPORTER: {
    challenge: `The relay and this device do not see the same TLS connection. ${MIDDLE}`,
    proof: `The device and this relay do not see the same TLS connection. ${MIDDLE}`,
  },
  ERR_HELLO_SOFTWARE: {
    challenge: 'The software of the relay is too old for this device.',
    proof:
      'The relay refuses this version of the software, because it is too old or known to be ' +
      'unsafe. Update this device.',
  },
  ERR_HELLO_SUPERSEDED: {
    challenge: 'Another relay serves this device now.',
    proof:
      'Another device has connected with a copy of this key, and the relay serves that one now. ' +
      'If that is not yours, ask the vendor to revoke the key; else start this device again.',
  },
  ERR_HELLO_VERSION: {
    challenge:
      'The relay speaks no version of the tunnel protocol that this device speaks. Update it.',
    proof: 'The device chose a version of the tunnel protocol that this relay did not offer.',
  },
};
