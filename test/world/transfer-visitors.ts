// Visitors who do planned transfers through a relay, by HTTP/1.1 (kept connections, pipelines), HTTP/2
// and WebSocket, and judge each: byte for byte what was sent, or seen to be broken at both ends.
import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { ByteStream } from './byte-stream.ts';
import { readResponse, statusOf } from './http-text.ts';
import { within } from './program-process.ts';
import { SeededRandom } from './random.ts';
import { planTransfer, Received, type TransferPlan } from './transfer-plan.ts';
import {
  Http2Door,
  type Outcome,
  overHttp1,
  overHttp2,
  pathOf,
  type TransferDoor,
} from './transfer-visit.ts';
import type { TransferWorkspace } from './transfer-workspace.ts';
import { until } from './visits.ts';

export interface TransferOptions {
  readonly door: TransferDoor;
  readonly workspace: TransferWorkspace;
  readonly seed: number;
  /** Whether tunnels break meanwhile: then any transfer may, too. */
  readonly mayBreak?: boolean;
}

/** From begin to end, on a machine that has much else to do. */
const WITHIN_MS = 30_000;

export class TransferVisitors {
  /** Transfers so far by how they ended. */
  readonly ends: Record<Outcome['end'], number> = { whole: 0, broken: 0, left: 0 };
  bytes = 0;
  #id = 0;
  readonly #options: TransferOptions;
  readonly #random: SeededRandom;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  /** All of them at the same time, until it is enough. */
  async run(enough: (transfers: number) => boolean): Promise<void> {
    const { door } = this.#options;
    const agent = new Agent({ keepAlive: true, maxSockets: 3 });
    agent.createConnection = () => door.connect(['http/1.1']);
    const goOn = async (visit: () => Promise<void>): Promise<void> => {
      while (!enough(this.#id)) await visit();
    };
    const sessions = [new Http2Door(door), new Http2Door(door)];
    try {
      await Promise.all([
        ...[1, 2, 3].map(() =>
          goOn(() => this.#transfer('HTTP/1.1', (plan) => overHttp1(plan, door, agent))),
        ),
        ...[0, 1, 0, 1].map((at) =>
          goOn(() => this.#transfer('HTTP/2', (plan) => overHttp2(plan, door, sessions[at]))),
        ),
        goOn(() => this.#pipeline()),
        goOn(() => this.#webSocket()),
      ]);
    } finally {
      agent.destroy();
      for (const session of sessions) session.close();
    }
  }

  async #transfer(way: string, visit: (plan: TransferPlan) => Promise<Outcome>): Promise<void> {
    const plan = planTransfer(this.#nextId(), this.#random);
    const what = `seed ${this.#options.seed}, ${way}, ${JSON.stringify(plan)}`;
    const outcome = await within(visit(plan), WITHIN_MS, what);
    const fault = this.#judge(plan, outcome);
    if (fault !== undefined) {
      const { end, status, received } = outcome;
      throw new Error(`${fault}: ${end}, ${status}, ${received.bytes} bytes; ${what}`);
    }
    this.ends[outcome.end] += 1;
    this.bytes += outcome.received.bytes;
    await until(() => this.#served(plan)?.over !== false, WITHIN_MS, `end at workspace: ${what}`);
    this.#options.workspace.served.delete(plan.id);
  }

  #served(plan: TransferPlan) {
    return this.#options.workspace.served.get(plan.id);
  }

  #judge(plan: TransferPlan, { end, status, received }: Outcome): string | undefined {
    const served = this.#served(plan);
    if (!received.right && status < 400) return 'other bytes came back than were sent';
    if (served?.received.right === false) return 'other bytes reached the workspace';
    if (end === 'left') return undefined;
    // Who closes a connection with bytes on it that he has not read may destroy his own last words.
    const resets = plan.kind === 'early' && plan.framing === 'close';
    const mayBreak = this.#options.mayBreak || resets;
    if (mayBreak && (end === 'broken' || status >= 500)) return undefined;
    if (plan.kind === 'torn') {
      return end === 'broken' || status === 502 ? undefined : 'a torn answer looks whole';
    }
    if (end !== 'whole' || status !== plan.status) return 'it is not whole';
    const down = plan.method === 'HEAD' || plan.status !== 200 ? 0 : plan.down;
    if (received.bytes !== down) return `${down} bytes were sent`;
    if (plan.kind === 'early') return undefined;
    const upWhole = served?.whole === true && served.received.bytes === plan.up;
    return upWhole ? undefined : `${served?.received.bytes} bytes of the request arrived`;
  }

  /** Requests that do not wait for each other's answers. */
  async #pipeline(): Promise<void> {
    const { door } = this.#options;
    const plans = Array.from({ length: 1 + this.#random.below(6) }, () => ({
      ...planTransfer(this.#nextId(), this.#random),
      kind: 'swap' as const,
      framing: this.#random.chance(0.5) ? ('sized' as const) : ('chunked' as const),
      extras: false,
      expectContinue: false,
      up: 0,
    }));
    const what = `seed ${this.#options.seed}, a pipeline of ${JSON.stringify(plans)}`;
    using stream = new ByteStream(door.connect(['http/1.1']));
    const heads = plans.map((plan) => {
      const body = plan.method === 'POST' ? 'Content-Length: 0\r\n' : '';
      return `${plan.method} ${pathOf(plan)} HTTP/1.1\r\nHost: ${door.host}\r\n${body}\r\n`;
    });
    stream.write(heads.join(''));
    const read = async (): Promise<void> => {
      for (const plan of plans) {
        stream.socket.pause();
        await pause(plan.visitorMs);
        stream.socket.resume();
        const answer = await readResponse(stream, plan.method);
        const received = new Received(plan);
        received.take(answer.body);
        const outcome = { end: 'whole', status: statusOf(answer), received } as const;
        const fault = this.#judge(plan, outcome);
        if (fault !== undefined) throw new Error(`${fault}: ${answer.line}; ${what}`);
        this.ends.whole += 1;
        this.bytes += received.bytes;
      }
    };
    await within(read(), WITHIN_MS, what).catch((error: unknown) => {
      if (this.#options.mayBreak !== true || stream.ending === undefined) throw error;
    });
  }

  async #webSocket(): Promise<void> {
    const { door, seed, mayBreak } = this.#options;
    const agent = new Agent();
    agent.createConnection = () => door.connect(['http/1.1']);
    const socket = new WebSocket(`wss://${door.host}/`, { agent, perMessageDeflate: false });
    const what = `seed ${seed}, a WebSocket after ${this.#id}`;
    const heard: Buffer[] = [];
    socket.on('message', (data: Buffer) => heard.push(data));
    let broken = false;
    socket.on('error', () => {
      broken = true;
    });
    socket.on('close', () => {
      broken = true;
    });
    try {
      await until(() => broken || socket.readyState === 1, WITHIN_MS, `the open of ${what}`);
      const sent = Array.from({ length: this.#random.below(8) }, () =>
        Buffer.alloc(this.#random.below(300_000), this.#nextId() % 251),
      );
      const leavesAt = this.#random.chance(0.3) ? this.#random.below(sent.length + 1) : -1;
      for (const [at, message] of sent.entries()) {
        if (at === leavesAt) return;
        socket.send(message);
        if (this.#random.chance(0.3)) await pause(this.#random.below(4));
      }
      await until(() => broken || heard.length === sent.length, WITHIN_MS, `the echo of ${what}`);
      if (broken && mayBreak) return;
      const same =
        heard.length === sent.length && heard.every((one, at) => one.equals(sent[at] ?? one));
      if (!same) throw new Error(`not what was sent came back: ${what}`);
      this.ends.whole += 1;
    } finally {
      if (this.#random.chance(0.5)) socket.close();
      else socket.terminate();
    }
  }

  #nextId(): number {
    this.#id += 1;
    return this.#id;
  }
}
