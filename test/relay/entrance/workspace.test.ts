// A connection to a workspace over a link of a tunnel: nothing of it stays behind, in either direction,
// whatever the workspace leaves undone.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ResponseEvents, WorkspaceConnection } from '../../../relay/entrance/workspace.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';

let tunnel: MemoryTunnel;
beforeEach(() => {
  tunnel = new MemoryTunnel();
});
afterEach(() => tunnel.stop());

function connected(): {
  readonly connection: WorkspaceConnection;
  readonly events: ResponseEvents;
} {
  const stream = tunnel.relay.open(HEADER);
  if (stream === undefined) throw new Error('no stream');
  const nothing = () => undefined;
  const events: ResponseEvents = {
    interim: nothing,
    head: nothing,
    bodyBytes: nothing,
    bodyTrailers: nothing,
    complete: nothing,
    pipeEnd: nothing,
    failed: nothing,
    flush: () => true,
    drain: nothing,
  };
  return { connection: new WorkspaceConnection(stream), events };
}

/** More than the credit of a stream. */
const MUCH = Buffer.alloc(400_000);
const POST = `POST / HTTP/1.1\r\nContent-Length: ${MUCH.length}\r\n\r\n`;

describe('a workspace that answers without reading', () => {
  it('gets no other request on that link, so that requests do not gather for it', async () => {
    const { connection, events } = connected();
    connection.ask(POST, { method: 'POST' }, events);
    await tunnel.settle();
    const workspace = tunnel.deviceEndOf(0);
    workspace.takes = false;
    expect(connection.write(MUCH)).toBe(false);
    await tunnel.settle();
    workspace.link.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await tunnel.settle();
    expect(connection.reusable).toBe(false);
    workspace.takes = true;
    workspace.take();
    await tunnel.settle();
    expect(connection.reusable).toBe(true);
  });

  it('and ends its half keeps no stream once the visitor has gone', async () => {
    const { connection, events } = connected();
    connection.ask(POST, { method: 'POST' }, events);
    await tunnel.settle();
    const workspace = tunnel.deviceEndOf(0);
    workspace.takes = false;
    connection.write(MUCH);
    await tunnel.settle();
    workspace.link.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    workspace.link.end();
    await tunnel.settle();
    expect(tunnel.relay.streamCount).toBe(1);
    connection.leave('cancelled');
    await tunnel.settle();
    expect([tunnel.relay.streamCount, tunnel.device.streamCount]).toEqual([0, 0]);
  });
});
