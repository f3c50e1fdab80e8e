// One question to an authority over HTTPS, with every bound that such a question needs: time, size, no
// redirects, nothing but https. Whatever stands in the way of an answer becomes an OrderError.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type Agent, request } from 'node:https';
import { OrderError } from './order-error.ts';

export const ACME_HTTP_LIMITS = {
  /** A new order takes a busy authority ten seconds. */
  requestMs: 30_000,
  /** A chain of 100 names has 30,000; a directory, an order or an authorization a tenth of it. */
  answerBytesMax: 262_144,
  /** Kept to one authority. */
  idleConnectionsMax: 8,
} as const;

export interface HttpsQuestion {
  readonly url: string;
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Signed JSON (RFC 7515). */
  readonly body?: string;
  /** Who is asked, for sentences. */
  readonly name: string;
  readonly agent: Agent;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export async function askHttps(question: HttpsQuestion): Promise<HttpsAnswer> {
  const { url, name, signal, timeoutMs } = question;
  if (!url.startsWith('https://') || !URL.canParse(url)) {
    throw new OrderError('ERR_ORDER_UNAVAILABLE', `${name} names an address that is not https.`);
  }
  const deadline = AbortSignal.timeout(timeoutMs);
  const stop = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  try {
    return await send(question, stop);
  } catch (error) {
    throw failure(question, error, deadline);
  }
}

async function send(question: HttpsQuestion, signal: AbortSignal): Promise<HttpsAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sendOnce(question, signal);
    } catch (error) {
      // The other side may end idle connections just as we use them, and they are used up one by one. What
      // was heard twice by this is told apart by its nonce.
      const stale = error instanceof StaleConnection;
      if (!stale || attempt > ACME_HTTP_LIMITS.idleConnectionsMax) throw error;
    }
  }
}

class StaleConnection extends Error {}

function sendOnce(question: HttpsQuestion, signal: AbortSignal): Promise<HttpsAnswer> {
  const { url, method, body, agent } = question;
  const { promise, resolve, reject } = Promise.withResolvers<HttpsAnswer>();
  const headers = {
    'user-agent': 'waygate',
    ...(body === undefined
      ? {}
      : { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }),
  };
  const sent = request(url, { method, headers, agent, signal });
  sent.on('error', (error) => {
    const stale = sent.reusedSocket && 'code' in error && error.code === 'ECONNRESET';
    reject(stale ? new StaleConnection('', { cause: error }) : error);
  });
  sent.on('response', (response) => {
    collect(response).then((text) => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
    }, reject);
  });
  sent.end(body);
  return promise;
}

async function collect(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop destroys the connection.
    if (bytes > ACME_HTTP_LIMITS.answerBytesMax) throw new RangeError('the answer is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function failure(
  { name, url, signal, timeoutMs }: HttpsQuestion,
  error: unknown,
  deadline: AbortSignal,
) {
  const host = new URL(url).host;
  const unavailable = (message: string): OrderError =>
    new OrderError('ERR_ORDER_UNAVAILABLE', message, { cause: error });
  if (signal?.aborted === true) return unavailable(`The order at ${name} was stopped.`);
  if (deadline.aborted)
    return unavailable(`${name} (${host}) did not answer within ${timeoutMs} ms.`);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (CERTIFICATE_FAULT.test(code)) {
    return unavailable(
      `The certificate of ${name} (${host}) is not trusted (${code}). If it has a certificate ` +
        "authority of its own, name that one's file as caFile.",
    );
  }
  const why = error instanceof RangeError ? error.message : code || 'the connection ended';
  return unavailable(`${name} (${host}) cannot be reached (${why}).`);
}

const CERTIFICATE_FAULT = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO|SIGNATURE/;
