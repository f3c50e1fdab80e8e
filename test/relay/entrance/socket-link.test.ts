// The link from a device to a workspace, over TCP and over a Unix socket: what the workspace sees.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { SocketLink, type Target } from '../../../relay/entrance/socket-link.ts';
import { within } from '../../world/program-process.ts';
import { Recorder } from '../../world/recorder.ts';
import { until } from '../../world/visits.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-link-'));
afterAll(() => rmSync(folder, { recursive: true }));

const KINDS = ['tcp', 'unix'] as const;

/** A workspace, a link to it, and the workspace's end of the connection. */
async function linked(kind: (typeof KINDS)[number]) {
  const server = createServer({ allowHalfOpen: true });
  const path = join(folder, 'workspace.sock');
  if (kind === 'unix') server.listen(path);
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const target: Target =
    typeof address === 'object' && address !== null
      ? { kind: 'tcp', host: '127.0.0.1', port: address.port }
      : { kind: 'unix', path };
  const link = new Recorder(new SocketLink(target));
  const accepted = once(server, 'connection');
  link.link.write('hello');
  const socket: Socket = (await within(accepted, 5_000, 'the connection'))[0];
  await within(once(socket, 'data'), 5_000, 'the first bytes');
  server.close();
  return { link, socket };
}

describe.each(KINDS)('a link over %s', (kind) => {
  it('ends at once when the visitor goes away', async () => {
    const { link, socket } = await linked(kind);
    const ends = new Promise((settle) => {
      socket.on('error', settle);
      socket.on('end', settle);
    });
    link.link.reset('cancelled', '');
    await within(ends, 5_000, 'the end of the connection');
    socket.destroy();
    expect(link.breaks).toEqual([]);
  });

  it('tells when all has left that still waited as our half ended', async () => {
    const { link, socket } = await linked(kind);
    socket.pause();
    expect(link.link.write(Buffer.alloc(8_000_000))).toBe(false);
    link.link.end();
    socket.resume();
    await until(() => link.drains > 0, 5_000, 'the room that is free again');
    socket.destroy();
  });

  it('half-closes in both directions', async () => {
    const { link, socket } = await linked(kind);
    const ended = once(socket, 'end');
    link.link.end();
    await within(ended, 5_000, 'the end of our half');
    const closed = once(socket, 'close');
    socket.end('the last words');
    await within(closed, 5_000, 'the end of the connection');
    await until(() => link.ends === 1, 5_000, 'the end of the other half');
    expect([link.text, link.breaks]).toEqual(['the last words', []]);
  });
});
