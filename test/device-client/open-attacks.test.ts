// A hostile relay, or a stolen vendor key: whatever its open frames say, a device dials what its
// device.yaml names, and nothing else (U-1, invariant 3).
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrame, FRAME } from '../../relay/protocol/frame.ts';
import { decodeOpen } from '../../relay/protocol/open.ts';
import { encodeReset } from '../../relay/protocol/reset-reason.ts';
import { Installation, ZONE } from '../world/installation.ts';
import { type ProgramProcess, within } from '../world/program-process.ts';
import { SeededRandom } from '../world/random.ts';
import { RawRelay, type RawTunnelEnd } from '../world/raw-relay.ts';
import { until } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const SEED = 20_261_121;
const OPENS = 100_000;

let vendor: Installation;
let relay: RawRelay;
let device: ProgramProcess;
let tunnel: RawTunnelEnd;
let published: Workspace;
let decoys: readonly Workspace[];
let nextId = 1;

beforeAll(async () => {
  vendor = await Installation.make();
  relay = await RawRelay.listen(vendor);
  published = await startWorkspace('published');
  decoys = [
    await startWorkspace('decoy'),
    await startWorkspace('decoy'),
    await startWorkspace('decoy', `${vendor.folder}/decoy.sock`),
  ];
  const files = await vendor.device('alice', { code: published.target });
  files.write({
    workspaces: { code: published.target },
    url: `wss://tunnel.${ZONE}:${relay.port}/`,
  });
  device = await files.start();
  await until(() => relay.tunnels.length > 0, 10_000, 'a tunnel');
  const [first] = relay.tunnels;
  if (first === undefined) throw new Error('unreachable');
  tunnel = first;
}, 60_000);

afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  for (const workspace of [published, ...decoys]) await workspace[Symbol.asyncDispose]();
});

/** What a workspace could be called by somebody who wants to go elsewhere. */
function names(): readonly string[] {
  const targets = decoys.map(({ target }) => target);
  const addresses = targets.flatMap((target) => {
    const bare = target.replace(/^(http:\/\/|unix:)/, '');
    return [
      target,
      bare,
      `//${bare}`,
      `code@${bare}`,
      `code:${bare}`,
      `${bare}#code`,
      `code\0${bare}`,
    ];
  });
  return [
    ...addresses,
    ...['169.254.169.254', 'http://169.254.169.254/', 'kubernetes.default.svc:443', 'localhost'],
    ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'size', 'get'],
    ...[
      'Code',
      'CODE',
      ' code',
      'code ',
      'code.',
      'code\n',
      'co\u0000de',
      '../code',
      'code/..',
      '%63ode',
    ],
    ...['', 'x'.repeat(255), 'x'.repeat(300), 'ｃｏｄｅ', 'c\u200bode', '0', 'null', 'undefined'],
  ];
}

interface Opening {
  readonly payload: Buffer;
  /** Whether the device is to dial what `code` means. */
  readonly right: boolean;
}

function opening(random: SeededRandom): Opening {
  const [host, port] = (decoys[0]?.target ?? '').replace('http://', '').split(':');
  const all = names();
  const right = random.chance(0.02);
  const workspace = right ? 'code' : (all[random.below(all.length)] ?? '');
  // Without a prototype, so that `__proto__` is a member like any other.
  const header: Record<string, unknown> = Object.assign(Object.create(null), {
    ...{ name: 'alice', workspace, address: '203.0.113.7', port: 50_000, trust: 0 },
  });
  // What is not in the protocol means nothing, whatever it says.
  const extras = {
    host,
    target: decoys[1]?.target,
    path: decoys[2]?.target.slice('unix:'.length),
    workspaces: { code: decoys[0]?.target },
    ['__proto__']: { workspace: 'code' },
    constructor: { name: 'code' },
  };
  for (const [key, value] of Object.entries(extras)) if (random.chance(0.3)) header[key] = value;
  if (random.chance(0.2)) header['address'] = host;
  if (random.chance(0.2)) header['port'] = Number(port);
  const text = JSON.stringify(header);
  if (right || random.chance(0.8)) return { payload: Buffer.from(text), right };
  const payload = mutated(Buffer.from(text), random);
  // Once in a million a mutation makes a right name of a wrong one.
  return { payload, right: decodeOpen(payload)?.workspace === 'code' };
}

function mutated(bytes: Buffer, random: SeededRandom): Buffer {
  if (random.chance(0.1)) return randomBytes(random.below(4_096));
  const copy = Buffer.from(bytes);
  for (let count = 1 + random.below(4); count > 0; count--) {
    copy[random.below(copy.length)] = random.below(256);
  }
  return random.chance(0.3) ? copy.subarray(0, random.below(copy.length)) : copy;
}

describe('a device whose relay is hostile', { timeout: 60_000 }, () => {
  it(`U-1 dials nothing but its workspaces for ${OPENS} open frames, seed ${SEED}`, async () => {
    const random = new SeededRandom(SEED);
    let wanted = 0;
    for (let sent = 0; sent < OPENS; ) {
      const frames: Buffer[] = [];
      for (let count = 0; count < 20; count++, sent++) {
        const { payload, right } = opening(random);
        frames.push(encodeFrame(FRAME.open, nextId, payload));
        if (right) {
          wanted += 1;
          frames.push(
            encodeFrame(FRAME.data, nextId, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')),
          );
        }
        nextId += 1;
      }
      await tunnel.say(...frames);
      // Those that were opened rightly are given up, so that the tunnel has room for all.
      if (sent % 2_000 === 0) {
        await until(() => published.connections >= wanted, 10_000, 'the wanted connections');
        const cancel = encodeReset('cancelled', '');
        for (let id = nextId - 2_000; id < nextId; id++) {
          if (tunnel.resets.has(id)) continue;
          await tunnel.say(encodeFrame(FRAME.reset, id, cancel));
        }
      }
    }
    await until(() => published.connections >= wanted, 10_000, 'the wanted connections');
    expect(published.connections).toBe(wanted);
    expect(wanted).toBeGreaterThan(200);
    expect(decoys.map(({ connections }) => connections)).toEqual([0, 0, 0]);
    const { ops } = await device.ready();
    const text = await (await fetch(`${ops.url}/metrics`)).text();
    expect(text).toContain(`waygate_device_streams_accepted ${wanted}\n`);
    expect(device.log.filter(({ level }) => level >= 50)).toEqual([]);
    expect(tunnel.closed).toBeUndefined();
  });

  it('U-4 loses a tunnel that breaks the protocol, and dials again', async () => {
    const before = relay.tunnels.length;
    const closed = once(tunnel.socket, 'close');
    // Ids must rise.
    await tunnel.say(encodeFrame(FRAME.open, 1, Buffer.from('{}')));
    const [code] = await within(closed, 5_000, 'the end of the tunnel');
    expect(code).toBe(1002);
    await until(() => relay.tunnels.length > before, 10_000, 'another tunnel');
    expect(device.running).toBe(true);
  });
});
