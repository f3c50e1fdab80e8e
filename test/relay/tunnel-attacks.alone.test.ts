// Attacks on the door for devices, and by devices, against a real relay: no proof, no service; a device
// that misbehaves loses its own tunnel, at once, and nobody else notices.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrame, FRAME } from '../../relay/protocol/frame.ts';
import { makeInstance } from '../../relay/protocol/hello.ts';
import { generateKey, loadOrCreateKey, type SigningKey } from '../../relay/protocol/key.ts';
import { LIMITS } from '../../relay/protocol/limits.ts';
import { encodeReset } from '../../relay/protocol/reset-reason.ts';
import { Installation, ZONE } from '../world/installation.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { Knock, RawDevice, type TunnelDoor } from '../world/raw-device.ts';
import { u32 } from '../world/raw-tunnel.ts';
import { OPCODE, RawWebSocket, webSocketFrame } from '../world/raw-websocket.ts';
import { ask, begin, until, untilStatus } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const HOSTNAME = `tunnel.${ZONE}`;

let vendor: Installation;
let relay: ProgramProcess;
let door: TunnelDoor;
let workspace: Workspace;
let witness: string;
const keys = new Map<string, SigningKey>();

beforeAll(async () => {
  vendor = await Installation.make({ more: 'accessLog: false\n' });
  workspace = await startWorkspace('the witness');
  for (const name of ['mallory', 'oscar', 'trudy', 'craig', 'walter']) {
    const files = await vendor.device(name, { code: workspace.target });
    keys.set(name, await loadOrCreateKey(files.keyFile, 'device'));
  }
  const honest = await vendor.device('witness', { code: workspace.target });
  relay = await vendor.relay();
  await honest.start();
  const { address, port, caPem, vendorKey } = vendor;
  door = { address, port, caPem, vendorKey, hostname: HOSTNAME };
  witness = at('witness');
  await untilStatus(vendor, witness, 200, 10_000);
}, 60_000);

afterAll(async () => {
  // Whatever was tried, somebody else's workspace is served, by the same process, without a fault.
  expect((await ask(vendor, witness)).body).toBe('the witness');
  expect(relay.running).toBe(true);
  expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
  await vendor[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

function at(name: string): string {
  return `https://code.${name}.${ZONE}:${vendor.port}/`;
}

function keyOf(name: string): SigningKey {
  const key = keys.get(name);
  if (key === undefined) throw new Error(`no key for ${name}`);
  return key;
}

describe.concurrent('who proves nothing', { timeout: 60_000 }, () => {
  it('U-9 is gone within 12 s: who is silent before the upgrade, and who trickles one', async () => {
    using silent = await RawWebSocket.dial(door, HOSTNAME);
    using slow = await RawWebSocket.dial(door, HOSTNAME);
    const trickle = setInterval(() => slow.socket.write('GET / HTTP/1.1\r\n'.slice(0, 1)), 300);
    try {
      await Promise.all([silent.close(12_000), slow.close(12_000)]);
    } finally {
      clearInterval(trickle);
    }
  });

  it('U-9 is gone within 12 s: who does not answer the challenge', async () => {
    using client = await RawWebSocket.open(door, HOSTNAME);
    const { code, reason } = await client.close(12_000);
    expect([code, reason]).toEqual([4001, 'ERR_HELLO_TIMEOUT']);
  });

  it('U-9 is gone within 12 s: who never finishes a message, byte by byte', async () => {
    using client = await RawWebSocket.open(door, HOSTNAME);
    client.socket.write(
      webSocketFrame({ opcode: OPCODE.binary, claimedBytes: 4_000n }, Buffer.alloc(0)),
    );
    const trickle = setInterval(() => client.socket.write(Buffer.alloc(1)), 200);
    try {
      await client.close(17_000);
    } finally {
      clearInterval(trickle);
    }
  });

  it.each([
    ['no nonce', { 'Waygate-Nonce': '' }],
    ['a short nonce', { 'Waygate-Nonce': 'c2hvcnQ' }],
    ['another subprotocol', { 'Sec-WebSocket-Protocol': 'waygate.2' }],
    ['another WebSocket version', { 'Sec-WebSocket-Version': '12' }],
    ['no key', { 'Sec-WebSocket-Key': 'short' }],
  ])('is refused the upgrade with %s', async (_, fields) => {
    using client = await RawWebSocket.open(door, HOSTNAME, fields);
    expect([400, 426]).toContain(client.status);
    await client.close();
  });

  it('U-9 gets no compression, even if he offers it', async () => {
    using client = await RawWebSocket.open(door, HOSTNAME, {
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    });
    expect([client.status, client.head]).toEqual([101, expect.not.stringMatching(/extensions/i)]);
  });

  const big = Buffer.alloc(LIMITS.helloBytesMax + 1);
  const wrongFirst: readonly (readonly [string, number, Buffer])[] = [
    [
      'a reserved bit',
      1002,
      webSocketFrame({ opcode: OPCODE.binary, reserved: 4 }, Buffer.alloc(9)),
    ],
    ['no mask', 1002, webSocketFrame({ opcode: OPCODE.binary, masked: false }, Buffer.alloc(9))],
    ['text', 1003, webSocketFrame({ opcode: OPCODE.text }, Buffer.from('hello'))],
    ['an unknown opcode', 1002, webSocketFrame({ opcode: 5 }, Buffer.alloc(0))],
    [
      'a fragmented ping',
      1002,
      webSocketFrame({ opcode: OPCODE.ping, final: false }, Buffer.alloc(0)),
    ],
    ['a continuation of nothing', 1002, webSocketFrame({ opcode: OPCODE.continuation }, big)],
    [
      '4 GiB',
      1009,
      webSocketFrame({ opcode: OPCODE.binary, claimedBytes: 1n << 32n }, Buffer.alloc(9)),
    ],
    [
      '2^63 bytes',
      1009,
      webSocketFrame({ opcode: OPCODE.binary, claimedBytes: 1n << 63n }, Buffer.alloc(9)),
    ],
    [
      'a proof above 4 KiB',
      4001,
      webSocketFrame({ opcode: OPCODE.binary }, encodeFrame(FRAME.proof, 0, big)),
    ],
    [
      'a frame of a tunnel',
      4001,
      webSocketFrame({ opcode: OPCODE.binary }, encodeFrame(FRAME.ping, 0, Buffer.alloc(8))),
    ],
    ['two frames', 4001, webSocketFrame({ opcode: OPCODE.binary }, Buffer.alloc(16, 2))],
    ['nothing', 4001, webSocketFrame({ opcode: OPCODE.binary }, Buffer.alloc(0))],
  ];
  it.each(wrongFirst)('U-9 is closed at once who begins with %s', async (_, code, bytes) => {
    using client = await RawWebSocket.open(door, HOSTNAME);
    client.socket.write(bytes);
    expect((await client.close(5_000)).code).toBe(code);
  });

  it('U-14 is closed for more than 16 fragments, however small, and costs no memory', async () => {
    const before = await memoryOf();
    const clients = await Promise.all(
      Array.from({ length: 40 }, () => RawWebSocket.open(door, HOSTNAME)),
    );
    const piece = webSocketFrame({ opcode: OPCODE.continuation, final: false }, Buffer.alloc(1));
    const empty = webSocketFrame({ opcode: OPCODE.continuation, final: false }, Buffer.alloc(0));
    for (const [index, client] of clients.entries()) {
      client.say({ opcode: OPCODE.binary, final: false }, Buffer.alloc(1));
      client.socket.write(Buffer.concat(Array(60_000).fill(index % 2 === 0 ? piece : empty)));
    }
    const ends = await Promise.all(clients.map((client) => client.close()));
    for (const client of clients) client[Symbol.dispose]();
    expect(new Set(ends.map(({ code }) => code)).difference(new Set([1006, 1008, 1009]))).toEqual(
      new Set(),
    );
    expect((await memoryOf()) - before).toBeLessThan(40 * 1_048_576);
  });
});

describe.concurrent('a proof', { timeout: 60_000 }, () => {
  it('U-10 is of no use on another connection', async () => {
    using first = await Knock.at(door);
    const proof = await first.proof(keyOf('oscar'));
    using second = await Knock.at(door);
    second.answer(proof);
    expect(await second.socket.close()).toMatchObject({ code: 4001, reason: 'ERR_HELLO_NONCE' });
    // And is taken once only where it belongs.
    first.answer(proof);
    await first.socket.message(1);
    first.answer(proof);
    expect((await first.socket.close()).code).toBe(1002);
  });

  it.each([
    ['another TLS connection', { exporter: Buffer.alloc(32, 7).toString('base64url') }],
    ['no TLS connection', { exporter: undefined }],
  ])('U-10 for %s is refused', async (_, changes) => {
    using knock = await Knock.at(door);
    knock.answer(await knock.proof(keyOf('oscar'), {}, changes));
    expect(await knock.socket.close()).toMatchObject({ reason: 'ERR_HELLO_EXPORTER' });
  });

  it('U-10 by an unknown key is refused', async () => {
    using knock = await Knock.at(door);
    knock.answer(await knock.proof(generateKey('device')));
    expect(await knock.socket.close()).toMatchObject({ reason: 'ERR_HELLO_UNKNOWN_DEVICE' });
  });

  it('replaces the tunnel of the same instance in the same slot, and no other', async () => {
    const instance = makeInstance();
    const key = keyOf('walter');
    using older = await RawDevice.connect(door, key, { instance, slot: 0 });
    using other = await RawDevice.connect(door, key, { instance, slot: 1 });
    using newer = await RawDevice.connect(door, key, { instance, slot: 0 });
    expect(await older.socket.close()).toMatchObject({ code: 1000, reason: /^done: replaced/ });
    expect([older.epoch, other.epoch]).toEqual([newer.epoch, newer.epoch]);
    expect([other.socket.closed, newer.socket.closed]).toEqual([undefined, undefined]);
  });
});

describe.concurrent('a device that is let in', { timeout: 60_000 }, () => {
  it('U-8 is closed for a flood of pings, and answers to nobody', async () => {
    using device = await RawDevice.connect(door, keyOf('mallory'));
    const ping = encodeFrame(FRAME.ping, 0, Buffer.alloc(8));
    for (let count = 0; count <= LIMITS.tunnelFramesPerSecondMax + 10; count++) device.say(ping);
    expect(await device.socket.close()).toMatchObject({ code: 1008, reason: /^flood/ });
  });

  it('U-8 is cut off for a flood of WebSocket pings whose answers it does not read', async () => {
    using device = await RawDevice.connect(door, keyOf('trudy'));
    const before = await memoryOf();
    device.socket.socket.pause();
    const ping = webSocketFrame({ opcode: OPCODE.ping }, Buffer.alloc(125));
    const flood = Buffer.concat(Array(20_000).fill(ping));
    for (let count = 0; count < 20 && device.socket.closed === undefined; count++) {
      if (device.socket.socket.write(flood)) continue;
      const drained = once(device.socket.socket, 'drain').catch(() => undefined);
      await Promise.race([drained, pause(200)]);
    }
    expect((await device.socket.close()).code).toBe(1006);
    expect((await memoryOf()) - before).toBeLessThan(50 * 1_048_576);
  });

  it('U-4 cannot answer streams that are not its own; ids that never were cost it the tunnel', async () => {
    using device = await RawDevice.connect(door, keyOf('craig'));
    const visit = begin(vendor, at('craig'));
    visit.catch(() => undefined);
    const [opened] = await device.opened(1);
    const id = opened?.streamId ?? 0;
    const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    // Other devices have streams of the same ids; in this tunnel there is only one.
    for (let other = id + 1; other < id + 50; other++) {
      device.say(encodeFrame(FRAME.data, other, answer));
    }
    expect((await ask(vendor, witness)).body).toBe('the witness');
    device.say(encodeFrame(FRAME.data, id, answer));
    expect((await visit).statusCode).toBe(200);
    for (let other = 0; other < LIMITS.strayFramesMax; other++) {
      device.say(encodeFrame(FRAME.reset, 0x7fff_0000 + other, encodeReset('cancelled', '')));
    }
    expect(await device.socket.close()).toMatchObject({ code: 1002, reason: /never were/ });
    expect(device.heard(FRAME.reset).length).toBeLessThan(60);
  });

  it('U-5 gets so many streams and no more; the next visitor is told at once', async () => {
    await using small = await Installation.make({
      more: 'accessLog: false\nlimits: { streamsPerTunnel: 200, streamsPerVisitor: 1000 }\n',
    });
    const files = await small.device('busy', { code: workspace.target });
    await small.relay();
    const { address, port, caPem, vendorKey } = small;
    const key = await loadOrCreateKey(files.keyFile, 'device');
    const busy = { address, port, caPem, vendorKey, hostname: HOSTNAME };
    using device = await RawDevice.connect(busy, key);
    const url = `https://code.busy.${ZONE}:${port}/`;
    const visits = Array.from({ length: 200 }, () => begin(small, url).catch(() => undefined));
    await device.opened(200);
    const startedAtMs = performance.now();
    const page = await ask(small, url);
    expect([page.status, page.headers['retry-after']]).toEqual([503, '5']);
    expect(performance.now() - startedAtMs).toBeLessThan(500);
    // One is given back, one is served.
    const [first] = await device.opened(200);
    device.say(
      encodeFrame(FRAME.reset, first?.streamId ?? 0, encodeReset('workspace-unreachable', '')),
    );
    await until(
      async () => {
        const visit = ask(small, url, { withinMs: 1_000 }).catch(() => undefined);
        await Promise.race([visit, device.opened(201)]);
        return device.heard(FRAME.open).length > 200;
      },
      5_000,
      'another stream',
    );
    device[Symbol.dispose]();
    await Promise.all(visits);
    expect(LIMITS.streamsMax).toBe(1_000);
  });

  it('U-6 is closed for data beyond its credit, and for credit beyond reason', async () => {
    for (const attack of ['data', 'window'] as const) {
      const name = attack === 'data' ? 'oscar' : 'walter';
      using device = await RawDevice.connect(door, keyOf(name), { slot: 1 });
      const visit = begin(vendor, at(name)).catch(() => undefined);
      const id = (await device.opened(1))[0]?.streamId ?? 0;
      if (attack === 'window') device.say(encodeFrame(FRAME.window, id, u32(0xffff_ffff)));
      else {
        const piece = encodeFrame(FRAME.data, id, Buffer.alloc(65_000));
        device.say(encodeFrame(FRAME.data, id, Buffer.from('HTTP/1.1 200 OK\r\n\r\n')));
        for (let count = 0; count < 200; count++) device.say(piece);
      }
      expect(await device.socket.close()).toMatchObject({ code: 1008, reason: /^flow-control/ });
      (await visit)?.destroy();
    }
  });
});

/** Resident bytes of the relay. */
async function memoryOf(): Promise<number> {
  const { ops } = await relay.ready();
  const text = await (await fetch(`${ops.url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1]);
}
