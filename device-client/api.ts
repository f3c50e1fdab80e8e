// What a device asks of its relay beside the tunnel: signed HTTPS requests (device-request.ts) to the
// same host, with the same CA and address. Each call has a deadline, and fails with an ApiError whose
// message tells a person what to do.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { printable } from '../relay/entrance/printable.ts';
import { signDeviceRequest } from '../relay/protocol/device-request.ts';
import type { SigningKey } from '../relay/protocol/key.ts';
import { Answer } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import { connectReason } from './connect-failure.ts';
import { pinned } from './pinned-lookup.ts';
import type { RelayAddress } from './tunnel.ts';

const API_LIMITS = {
  /** From the first packet to the last byte of the answer: a slow link, and a relay that is busy. */
  callMs: 15_000,
  /** The list of a thousand names has a tenth of it. */
  answerBytesMax: 1_048_576,
  /** Of a sentence of the relay's that a person is shown. */
  sentenceCharsMax: 600,
} as const;

export interface ApiOptions {
  readonly relay: RelayAddress;
  readonly deviceKey: SigningKey;
  readonly software: string;
}

export class DeviceApi {
  readonly #options: ApiOptions;
  /** The relay's hostname. */
  readonly host: Hostname;

  constructor(options: ApiOptions) {
    this.#options = options;
    const host = parseHostname(options.relay.url.hostname);
    if (host === undefined) {
      const { hostname } = options.relay.url;
      throw new ApiError('relay-url', `${hostname} is not a hostname of a relay.`);
    }
    this.host = host;
  }

  /** One signed request. Rejects with ApiError. */
  async ask(method: 'GET' | 'POST' | 'PUT', path: string, members?: object): Promise<Answer> {
    const body = Buffer.from(members === undefined ? '' : JSON.stringify(members));
    try {
      return await this.#askOnce(method, path, body);
    } catch (error) {
      // It was used up on its way, or is of another clock: with a fresh one it is the same request.
      if (!(error instanceof ApiError && error.kind === 'nonce')) throw error;
      return await this.#askOnce(method, path, body);
    }
  }

  async #askOnce(method: string, path: string, body: Buffer): Promise<Answer> {
    const { deviceKey, software } = this.#options;
    const given = await this.#send('GET', '/v1/device/nonce', { body: NOTHING });
    const nonce = given.text('nonce');
    const asked = { method, host: this.host, path, body };
    const authorization = await signDeviceRequest(asked, { nonce, software }, deviceKey);
    return await this.#send(method, path, { body, authorization });
  }

  async #send(
    method: string,
    path: string,
    { body, authorization }: { readonly body: Buffer; readonly authorization?: string },
  ): Promise<Answer> {
    const { url, ca, address } = this.#options.relay;
    const where = `${url.host}${address === undefined ? '' : ` (${address})`}`;
    const deadline = AbortSignal.timeout(API_LIMITS.callMs);
    try {
      const asked = request({
        method,
        path,
        host: url.hostname,
        port: url.port === '' ? 443 : Number(url.port),
        servername: url.hostname,
        agent: false,
        ...HTTP1_ONLY,
        signal: deadline,
        headers: {
          accept: 'application/json',
          ...(authorization === undefined ? {} : { authorization }),
          ...(body.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...(method === 'GET' ? {} : { 'content-length': body.length }),
        },
        ...(ca === undefined ? {} : { ca }),
        ...(address === undefined ? {} : { lookup: pinned(address) }),
      });
      const response = await responseTo(asked, body);
      return judge(where, response.statusCode ?? 0, await read(response));
    } catch (error) {
      throw error instanceof ApiError ? error : unreachable(where, error, deadline.aborted);
    }
  }
}

const NOTHING = Buffer.alloc(0);

/** `request` passes TLS options on; its types name only some of them. */
const HTTP1_ONLY = { ALPNProtocols: ['http/1.1'] };

function responseTo(asked: ClientRequest, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    asked.on('response', resolve);
    // Stays for the life of the request: what comes after the head is an error of the response.
    asked.on('error', reject);
    asked.end(body);
  });
}

async function read(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response) {
    bytes += part.length;
    if (bytes > API_LIMITS.answerBytesMax) {
      response.destroy();
      return '';
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function judge(where: string, status: number, text: string): Answer {
  const answer = new Answer(text === '' ? '{}' : text, where);
  if (status >= 200 && status < 300) return answer;
  const kind = /^urn:waygate:problem:([a-z-]{1,64})$/.exec(answer.text('type', ''))?.[1];
  if (kind === undefined) {
    throw new ApiError(
      'no-relay',
      `The server at ${where} is no relay that knows names: it answered with status ${status}. ` +
        'Check the url in device.yaml, or ask the vendor to update the relay.',
    );
  }
  const words = `${answer.text('detail', '')} ${answer.text('next', '')}`.trim();
  throw new ApiError(kind, printable(words, API_LIMITS.sentenceCharsMax));
}

function unreachable(where: string, cause: unknown, late: boolean): ApiError {
  const known = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  const code = late ? 'ETIMEDOUT' : known;
  const message = cause instanceof Error ? cause.message : String(cause);
  const reason = connectReason(where, { code, message });
  return new ApiError('unreachable', `${reason} Try again later.`, { cause });
}
