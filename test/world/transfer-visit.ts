// One planned transfer over HTTP/1.1 or HTTP/2, as the visitor does and sees it.
import type { EventEmitter } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2';
import { type Agent, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { Received, sendPattern, type TransferPlan } from './transfer-plan.ts';

/** How visitors get in. */
export interface TransferDoor {
  /** What a Host field says. */
  readonly host: string;
  connect(protocols: readonly string[]): TLSSocket;
}

/** `left`: the visitor himself broke it off. */
export interface Outcome {
  readonly end: 'whole' | 'broken' | 'left';
  readonly status: number;
  readonly received: Received;
}

/** One HTTP/2 connection at a time, another one when it is used up or broken. */
export class Http2Door {
  readonly #door: TransferDoor;
  #session: ClientHttp2Session | undefined;

  constructor(door: TransferDoor) {
    this.#door = door;
  }

  session(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      const createConnection = () => this.#door.connect(['h2']);
      this.#session = connectHttp2(`https://${this.#door.host}`, { createConnection });
      this.#session.on('error', () => undefined);
    }
    return this.#session;
  }

  close(): void {
    this.#session?.destroy();
  }
}

export function pathOf(plan: TransferPlan): string {
  return `/${encodeURIComponent(JSON.stringify(plan))}`;
}

function headersOf(plan: TransferPlan): Record<string, string> {
  const headers: Record<string, string> = {};
  if (plan.method === 'POST' && !plan.upChunked) headers['content-length'] = String(plan.up);
  if (plan.expectContinue) headers['expect'] = '100-continue';
  return headers;
}

/** Ends the visit when as much has passed as the plan says. */
class Leaving {
  passed = 0;
  left = false;
  readonly #after: number;
  readonly #leave: () => void;

  constructor({ leaveAfter }: TransferPlan, leave: () => void) {
    this.#after = leaveAfter ?? Number.POSITIVE_INFINITY;
    this.#leave = leave;
    this.pass(0);
  }

  readonly pass = (bytes: number): void => {
    this.passed += bytes;
    if (this.left || this.passed < this.#after) return;
    this.left = true;
    // Not within the call that the bytes came by.
    setImmediate(this.#leave);
  };
}

/** Never rejects, unlike `once()`. */
function told(emitter: EventEmitter, event: string): Promise<void> {
  return new Promise((resolve) => {
    emitter.once(event, () => resolve());
  });
}

/** No event tells of a reset when the stream's own end was asked for already. */
async function untilReset(stream: ClientHttp2Stream): Promise<void> {
  while (!stream.closed && !stream.destroyed) await pause(LOOK_MS);
}

const LOOK_MS = 20;

export async function overHttp1(
  plan: TransferPlan,
  door: TransferDoor,
  agent: Agent,
): Promise<Outcome> {
  const headers = { ...headersOf(plan), host: door.host };
  const asked = request({ agent, method: plan.method, path: pathOf(plan), headers });
  const received = new Received(plan);
  const leaving = new Leaving(plan, () => asked.destroy());
  let status = 0;
  let whole = false;
  const over = new Promise<void>((resolve) => {
    let answered = false;
    for (const event of ['error', 'close']) {
      asked.on(event, () => {
        if (!answered) resolve();
      });
    }
    asked.on('response', async (response) => {
      answered = true;
      status = response.statusCode ?? 0;
      try {
        for await (const bytes of response) {
          received.take(bytes);
          leaving.pass(bytes.length);
          if (plan.visitorMs > 0) await pause(plan.visitorMs);
        }
        whole = response.complete;
      } catch {
        // It broke off.
      }
      resolve();
    });
  });
  if (plan.expectContinue) await Promise.race([told(asked, 'continue'), over]);
  await Promise.race([
    over,
    sendPattern(asked, plan, { bytes: plan.up, pauseMs: plan.visitorMs }, leaving.pass).then(() => {
      if (plan.kind !== 'mute' || !leaving.left) asked.end();
    }),
  ]);
  await over;
  // Of an early answer, the rest of the request.
  if (!asked.writableEnded) asked.destroy();
  return { end: whole ? 'whole' : leaving.left ? 'left' : 'broken', status, received };
}

export async function overHttp2(
  plan: TransferPlan,
  door: TransferDoor,
  place: Http2Door | undefined,
): Promise<Outcome> {
  if (place === undefined) throw new Error('no door');
  const headers = { ':authority': door.host, ':path': pathOf(plan), ':method': plan.method };
  const bodiless = plan.method !== 'POST';
  const more = plan.extras ? { te: 'trailers' } : {};
  const options = { endStream: bodiless };
  const stream = place.session().request({ ...headers, ...headersOf(plan), ...more }, options);
  const received = new Received(plan);
  const code = plan.id % 2 === 0 ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR;
  const leaving = new Leaving(plan, () => stream.close(code));
  let status = 0;
  let ended = false;
  stream.on('error', () => undefined);
  stream.on('response', (fields) => {
    status = Number(fields[':status']);
  });
  stream.on('end', () => {
    ended = true;
  });
  // Node's client does not close a stream that was reset politely while writes of its own wait.
  const closed = Promise.race([
    told(stream, 'close'),
    Promise.all([told(stream, 'end'), untilReset(stream)]),
  ]);
  stream.on('data', (bytes: Buffer) => {
    received.take(bytes);
    leaving.pass(bytes.length);
    if (plan.visitorMs === 0) return;
    stream.pause();
    setTimeout(() => stream.resume(), plan.visitorMs);
  });
  if (plan.expectContinue) await Promise.race([told(stream, 'continue'), closed]);
  if (!bodiless) {
    const upload = { bytes: plan.up, pauseMs: plan.visitorMs };
    await Promise.race([closed, sendPattern(stream, plan, upload, leaving.pass)]);
    if (!stream.destroyed && !stream.closed) stream.end();
  }
  await closed;
  stream.destroy();
  const whole = ended && stream.rstCode === constants.NGHTTP2_NO_ERROR && status > 0;
  return { end: leaving.left ? 'left' : whole ? 'whole' : 'broken', status, received };
}
