// The gate as a whole: what a workspace gets for the bytes of a visitor connection.
import { createServer, METHODS } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCanonical } from './canonical-parser.ts';
import { type GateRun, runGate } from './gate-run.ts';
import { CORPUS_HOSTNAME } from './smuggling-case.ts';
import { SMUGGLING_CORPUS } from './smuggling-corpus.ts';
import { visitorBytes } from './visitor-bytes.ts';

/** One to two seconds of one core. */
const PURE_RUNS = 100_000;
/** Each opens a connection. */
const SERVER_RUNS = 300;

describe('the smuggling corpus', () => {
  it('has cases enough, each with a name of its own', () => {
    const names = new Set(SMUGGLING_CORPUS.map(({ id, name }) => `${id} ${name}`));
    expect(names.size).toBe(SMUGGLING_CORPUS.length);
    expect(names.size).toBeGreaterThan(500);
  });

  it.each(SMUGGLING_CORPUS)('$id $name', ({ bytes, expect: expected, reached }) => {
    const buffer = Buffer.from(bytes, 'latin1');
    const everywhere = Array.from({ length: Math.min(buffer.length, 1_000) }, (_, at) => at);
    for (const cuts of [[], everywhere]) {
      const run = runGate(buffer, cuts);
      expect(run.refused).toBe(expected === 'accept' ? undefined : expected);
      expect(run.requests.length).toBe(reached);
      const piped = run.requests.at(-1)?.websocketKey !== undefined;
      if (expected === 'accept') expect(run.whole || piped).toBe(true);
      judgeOutput(run);
    }
  });
});

describe('any bytes', () => {
  it('H1-2 become nothing, or canonical requests that were judged', { timeout: 120_000 }, () => {
    const seen = { requests: 0, refused: 0, bodies: 0, pipelined: 0 };
    fc.assert(
      fc.property(visitorBytes, ({ bytes, cuts }) => {
        const run = runGate(bytes, cuts);
        judgeOutput(run);
        seen.requests += run.requests.length;
        if (run.refused !== undefined) seen.refused += 1;
        if (run.bodies.some((body) => body !== '')) seen.bodies += 1;
        if (run.requests.length > 1) seen.pipelined += 1;
      }),
      { numRuns: PURE_RUNS },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(PURE_RUNS / 10);
  });

  it('H1-2 are judged alike however they are cut', () => {
    fc.assert(
      fc.property(visitorBytes, ({ bytes, cuts }) => {
        const whole = runGate(bytes, []);
        const cut = runGate(bytes, cuts);
        expect(cut.refused).toBe(whole.refused);
        expect(cut.requests).toEqual(whole.requests);
        expect(cut.bodies).toEqual(whole.bodies);
      }),
      { numRuns: PURE_RUNS / 20 },
    );
  });

  it("H1-2 reach Node's parser as as many requests as were judged", async () => {
    await using server = await openServer();
    let requests = 0;
    await fc.assert(
      fc.asyncProperty(visitorBytes, async ({ bytes, cuts }) => {
        const run = runGate(bytes, cuts);
        fc.pre(run.output !== '' && run.requests.every(({ method }) => METHODS.includes(method)));
        const seen = await server.ask(run.output);
        expect(seen).toEqual(run.requests.map(({ method, target }) => `${method} ${target}`));
        requests += seen.length;
      }),
      { numRuns: SERVER_RUNS },
    );
    expect(requests).toBeGreaterThan(SERVER_RUNS);
  });

  it("H1-2 the corpus too reaches Node's parser as it was judged", async () => {
    await using server = await openServer();
    for (const { bytes } of SMUGGLING_CORPUS) {
      const run = runGate(Buffer.from(bytes, 'latin1'), []);
      if (run.output === '') continue;
      const seen = await server.ask(run.output);
      expect(seen).toEqual(run.requests.map(({ method, target }) => `${method} ${target}`));
    }
  });
});

function judgeOutput(run: GateRun): void {
  const messages = parseCanonical(run.output, CORPUS_HOSTNAME);
  if (messages.length !== run.requests.length) throw new Error('requests appeared or vanished');
  for (const [at, message] of messages.entries()) {
    const last = at === messages.length - 1;
    if (message.body !== run.bodies[at]) throw new Error('a body was changed');
    if (!message.whole && !last) throw new Error('a message within is not whole');
  }
}

interface Server extends AsyncDisposable {
  /** Sends the text on a connection of its own; tells the requests that were seen on it. */
  ask(text: string): Promise<string[]>;
}

/** A workspace with Node's own parser, which must see what the entrance has judged. */
async function openServer(): Promise<Server> {
  let seen: string[] = [];
  const server = createServer({ maxHeaderSize: 65_536, keepAliveTimeout: 60_000 });
  server.on('request', (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    response.end();
  });
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  server.on('upgrade', (request, socket) => {
    seen.push(`${request.method} ${request.url}`);
    socket.end();
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // A body that is cut off at the end of the connection is none of the entrance's mistakes.
    if (error.code !== 'HPE_INVALID_EOF_STATE') seen.push(`fault ${error.code}`);
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ask: (text) =>
      new Promise((resolve, reject) => {
        seen = [];
        const socket = connect(port, '127.0.0.1');
        socket
          .on('error', reject)
          .on('close', () => resolve(seen))
          .resume();
        socket.end(text, 'latin1');
      }),
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
