// A kept link carries the next request of its visit with all the credit that it began with, however
// slowly the visitor took the answer before.
import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SocketLink } from '../../../relay/entrance/socket-link.ts';
import { splice } from '../../../relay/protocol/splice.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';
import { SeededRandom } from '../../world/random.ts';
import type { Recorder } from '../../world/recorder.ts';
import { until } from '../../world/visits.ts';
import { House } from './http2-house.ts';

/** More than half of the window that a stream begins with, so that nothing gives credit for less. */
const BODY_BYTES = 200_000;
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`;
const WITHIN_MS = 5_000;

let tunnel: MemoryTunnel;
let house: House;
beforeEach(async () => {
  tunnel = new MemoryTunnel();
  house = await new House().open(
    () => tunnel.relay.open(HEADER) ?? { kind: 'device-away', sinceMs: 0 },
  );
});
afterEach(() => {
  house.close();
  tunnel.stop();
});

/** Asks, and gives the device's end of the link once the request has come through it. */
async function ask(session: ClientHttp2Session, path: string) {
  const stream = session.request({ ':path': path });
  let workspace: Recorder | undefined;
  const reached = () => {
    workspace = tunnel.arrived.find(({ text }) => text.includes(`GET ${path} `));
    return workspace !== undefined;
  };
  await until(reached, WITHIN_MS, `the request for ${path}`);
  if (workspace === undefined) throw new Error('unreachable');
  return { stream, workspace };
}

it('a link whose last answer was taken slowly carries the next one whole', async () => {
  const session = house.visit();
  const slow = await ask(session, '/slow');
  slow.stream.pause();
  slow.workspace.link.write(HEAD);
  slow.workspace.link.write(Buffer.alloc(BODY_BYTES - 1));
  await once(slow.stream, 'response');
  await tunnel.settle();
  // The end of the answer arrives while the visitor has yet to take what came before it.
  slow.workspace.link.write(Buffer.alloc(1));
  await tunnel.settle();
  slow.stream.resume();
  await once(slow.stream, 'close');

  const next = await ask(session, '/next');
  expect(next.workspace).toBe(slow.workspace);
  let received = 0;
  next.stream.on('data', (bytes: Buffer) => {
    received += bytes.length;
  });
  const closed = once(next.stream, 'close');
  next.workspace.link.write(HEAD);
  // Piece by piece, so that the visitor is never behind.
  for (let sent = 0; sent < BODY_BYTES; sent += 8_000) {
    next.workspace.link.write(Buffer.alloc(8_000));
    await until(() => received === sent + 8_000, WITHIN_MS, `${sent + 8_000} bytes`);
  }
  await closed;
  expect(next.stream.rstCode).toBe(0);
});

it('300 answers of all sizes over eight links, taken at all speeds, arrive whole', async () => {
  const address = house.workspace.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  tunnel.accept = (stream) => {
    splice(stream, new SocketLink({ kind: 'tcp', host: '127.0.0.1', port }));
  };
  house.answer = (request, response) => response.end(Buffer.alloc(Number(request.url?.slice(1))));
  const random = new SeededRandom(7);
  const session = house.visit();
  let asked = 0;
  const visits = Array.from({ length: 8 }, async () => {
    while (asked < 300) {
      asked += 1;
      const size = random.below(random.chance(0.5) ? 20_000 : 400_000);
      const slow = random.chance(0.3);
      const stream = session.request({ ':path': `/${size}` });
      let received = 0;
      stream.on('data', (bytes: Buffer) => {
        received += bytes.length;
      });
      const closed = once(stream, 'close', { signal: AbortSignal.timeout(WITHIN_MS) });
      if (slow) {
        stream.pause();
        await pause(random.below(20));
        stream.resume();
      }
      await closed;
      expect({ received, code: stream.rstCode }).toEqual({ received: size, code: 0 });
    }
  });
  await Promise.all(visits);
  expect(house.sockets.length).toBe(8);
});
