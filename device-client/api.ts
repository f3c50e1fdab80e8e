// What a device asks of its relay beside the tunnel: signed HTTPS requests (device-request.ts) to the
// same host, with the same CA and address, at whatever time this device believes it is (api-line.ts).
// Each call has a deadline, and fails with an ApiError whose message tells a person what to do.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { printable } from '../relay/entrance/printable.ts';
import { signDeviceRequest } from '../relay/protocol/device-request.ts';
import type { SigningKey } from '../relay/protocol/key.ts';
import { Answer } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import { type ApiLine, openProven, openTrusted, portOf } from './api-line.ts';
import { Clock } from './clock.ts';
import { connectReason, isClockFault } from './connect-failure.ts';
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
  /** Learns the relay's time from each answer. */
  readonly clock?: Clock;
}

interface Question {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly body: Buffer;
  readonly signal: AbortSignal | undefined;
}

interface Sending extends Question {
  readonly fields: Readonly<Record<string, string>>;
}

export class DeviceApi {
  readonly #options: ApiOptions;
  readonly #clock: Clock;
  /** The relay's hostname. */
  readonly host: Hostname;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new Clock();
    const host = parseHostname(options.relay.url.hostname);
    if (host === undefined) {
      const { hostname } = options.relay.url;
      throw new ApiError('relay-url', `${hostname} is not a hostname of a relay.`);
    }
    this.host = host;
  }

  /** One signed request. Rejects with ApiError, also when the caller's `signal` ends it. */
  async ask(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    members?: object,
    signal?: AbortSignal,
  ): Promise<Answer> {
    const body = Buffer.from(members === undefined ? '' : JSON.stringify(members));
    const question = { method, path, body, signal };
    try {
      return await this.#askAtAnyTime(question);
    } catch (error) {
      // It was used up on its way, or is of another clock: with a fresh one it is the same request.
      if (!(error instanceof ApiError && error.kind === 'nonce')) throw error;
      return await this.#askAtAnyTime(question);
    }
  }

  /** A device without a battery starts in 1970, when no certificate is valid. */
  async #askAtAnyTime(question: Question): Promise<Answer> {
    try {
      return await this.#askOn(openTrusted(this.#options.relay), question);
    } catch (error) {
      if (!(error instanceof ApiError && isClockFault(error.cause))) throw error;
      return await this.#askOn(await this.#prove(error), question);
    }
  }

  async #prove(fault: ApiError): Promise<ApiLine> {
    const { relay } = this.#options;
    const deadline = AbortSignal.timeout(API_LIMITS.callMs);
    try {
      return await openProven({ relay, host: this.host, clock: this.#clock }, fault, deadline);
    } catch (error) {
      throw unreachable(this.#where, error, deadline.aborted);
    }
  }

  async #askOn(line: ApiLine, question: Question): Promise<Answer> {
    const { deviceKey, software } = this.#options;
    try {
      const given = await this.#send(line, { ...question, ...NONCE, fields: line.fields });
      await line.judge(given);
      const asked = { ...question, host: this.host };
      const nonce = given.text('nonce');
      const authorization = await signDeviceRequest(asked, { nonce, software }, deviceKey);
      return await this.#send(line, { ...question, fields: { authorization } });
    } finally {
      line.close();
    }
  }

  async #send(
    { agent, trusted }: ApiLine,
    { method, path, body, fields, signal }: Sending,
  ): Promise<Answer> {
    const { relay } = this.#options;
    const deadline = AbortSignal.timeout(API_LIMITS.callMs);
    try {
      const asked = request({
        ...{ method, path, agent, host: relay.url.hostname, port: portOf(relay) },
        signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
        headers: {
          accept: 'application/json',
          ...fields,
          ...(body.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...(method === 'GET' ? {} : { 'content-length': body.length }),
        },
      });
      const response = await responseTo(asked, body);
      if (trusted) this.#clock.learn(Date.parse(response.headers.date ?? ''));
      return judge(this.#where, response.statusCode ?? 0, await read(response));
    } catch (error) {
      throw error instanceof ApiError ? error : unreachable(this.#where, error, deadline.aborted);
    }
  }

  get #where(): string {
    const { url, address } = this.#options.relay;
    return `${url.host}${address === undefined ? '' : ` (${address})`}`;
  }
}

const NONCE = { method: 'GET', path: '/v1/device/nonce', body: Buffer.alloc(0) } as const;

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
