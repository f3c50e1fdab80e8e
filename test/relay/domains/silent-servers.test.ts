// Own domains whose name servers say nothing, many of them and all of one owner: his looks last as long as
// they may, and nobody else waits for them.
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packet from 'dns-packet';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { Domains } from '../../../relay/domains/domains.ts';
import { PublicDns } from '../../../relay/domains/public-dns.ts';
import { addDomain } from '../../../relay/registry/deeds/own-domain.ts';
import { configureApex } from '../../../relay/registry/deeds/zone-apex.ts';
import { openRegistry } from '../../../relay/registry/registry.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { hostname, settings } from '../registry/zone-fixture.ts';
import { ownDomain } from './domain-world.ts';

const ZONE = hostname('vendor.example');
const WAIT = { timeout: 20_000, interval: 20 };

/** Answers that there is nothing, and nothing at all of whatever is silent; resolves with its port. */
async function resolver(): Promise<number> {
  const socket = createSocket('udp4');
  const NXDOMAIN = 3;
  socket.on('message', (message: Buffer, from: RemoteInfo) => {
    const { id = 0, questions = [] } = packet.decode(message);
    if (questions.some(({ name }) => name.includes('silent-'))) return;
    const flags = packet.RECURSION_AVAILABLE | NXDOMAIN;
    const answer = packet.encode({ type: 'response', id, flags, questions, answers: [] });
    socket.send(answer, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return socket.address().port;
}

async function watching() {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-silent-'));
  const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
  const log = pino({ level: 'silent' });
  const registry = await openRegistry({ database, log });
  await registry.perform(configureApex(settings()));
  const domains = new Domains({
    ...{ registry, log, zone: ZONE, plainHttp: true, caaIssuers: [], now: Date.now },
    dns: new PublicDns([{ host: '127.0.0.1', port: await resolver() }]),
    certificateOf: () => Promise.resolve({}),
    want: () => Promise.resolve(),
    tell: () => () => Promise.resolve(),
    publicPort: () => 443,
    limits: { againAfterMs: 0 },
  });
  onTestFinished(async () => {
    await domains.stop();
    await registry.close();
    rmSync(folder, { recursive: true });
  });
  const holder = async (text: string, own: readonly string[]) => {
    const [name, key] = [deviceName(text), deviceKey()];
    await registry.enroll({ name, deviceKey: key, actor: 'test' });
    const by = { kind: 'device', thumbprint: key.thumbprint } as const;
    for (const each of own) {
      await registry.perform(addDomain({ name, domain: ownDomain(each), by }));
    }
    return by;
  };
  return { domains, holder };
}

test('attack: many own domains that are silent do not keep the watch from those of others', async () => {
  const { domains, holder } = await watching();
  const silent = Array.from({ length: 19 }, (_, at) => `silent-${at}.example.org`);
  const hostile = await holder('hostile', [...silent, 'mended.example.org']);
  const mine = await holder('alice', ['app.example.net']);
  domains.start();
  const looked = async () => (await domains.list(mine)).map(({ checkedAtMs }) => checkedAtMs);
  await expect.poll(looked, WAIT).toEqual([expect.any(Number)]);
  // All that the other one has at once are three.
  expect(domains.figures.running).toBeLessThanOrEqual(3);
  // What he asks for himself does not wait for what the watch does for him.
  const wanted = { domain: ownDomain('mended.example.org'), by: hostile };
  expect((await domains.check(wanted)).checkedAtMs).toEqual(expect.any(Number));
});

test('attack: whoever asks for looks at many silent domains of his leaves room for others', async () => {
  const { domains, holder } = await watching();
  const silent = Array.from({ length: 19 }, (_, at) => `silent-${at}.example.org`);
  const hostile = await holder('hostile', silent);
  const mine = await holder('alice', ['app.example.net']);
  const asked = silent.map((each) => domains.check({ domain: ownDomain(each), by: hostile }));
  const report = await domains.check({ domain: ownDomain('app.example.net'), by: mine });
  expect(report.checkedAtMs).toEqual(expect.any(Number));
  // Three of his, and the one that was asked for after them.
  expect(domains.figures.looks).toBe(4);
  await domains.stop();
  await Promise.allSettled(asked);
});
