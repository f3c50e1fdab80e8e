// The door of the portal's servers on real TLS sockets, against clients that are slow, loud, or never
// end; and how it closes.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createAuthority } from '../../certs/authority.ts';
import { parseHostname } from '../../dns/name.ts';
import { HttpDoor } from '../../relay/http-door.ts';

let door: HttpDoor;
let port: number;
let ca: string;
let server: ReturnType<typeof createServer>;
/** Requests that reached the program, and those whose answers wait for `answer`. */
const heard: string[] = [];
let answer = Promise.withResolvers<void>();

beforeAll(async () => {
  const zone = parseHostname('vendor.test');
  if (zone === undefined) throw new Error('unreachable');
  const authority = await createAuthority(zone);
  ca = authority.caPem;
  const { certPem, keyPem } = await authority.issue([zone]);
  door = open();
  server = createServer({ cert: certPem, key: keyPem, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    door.take(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});

afterAll(() => {
  door.destroy();
  server.close();
});

function open(): HttpDoor {
  return new HttpDoor({
    headBytesMax: 8_192,
    connectionsMax: 40,
    limits: { headMs: 1_500, exchangeMs: 2_500 },
    request: (request, response) => {
      heard.push(request.url ?? '');
      if (request.url === '/wait') void answer.promise.then(() => response.end('late'));
      else if (request.url === '/body') request.resume().on('end', () => response.end('had it'));
      else response.end('hello');
    },
  });
}

class Client implements Disposable {
  readonly socket: TLSSocket;
  text = '';
  readonly closed: Promise<number>;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    const startMs = performance.now();
    this.closed = new Promise((gone) => {
      socket.on('close', () => gone(performance.now() - startMs));
    });
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
    });
  }

  static async dial(): Promise<Client> {
    const socket = connect({ host: '127.0.0.1', port, ca, servername: 'vendor.test' });
    const client = new Client(socket);
    await once(socket, 'secureConnect');
    return client;
  }

  say(text: string): void {
    this.socket.write(text, 'latin1');
  }

  async hears(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await once(this.socket, 'data');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

describe.concurrent('a client that is slow', { timeout: 15_000 }, () => {
  it('H1-12 is gone when its head does not end in time, however it trickles', async () => {
    using silent = await Client.dial();
    using slow = await Client.dial();
    slow.say('GET / HTTP/1.1\r\nHost: vendor.test\r\n');
    const trickle = setInterval(() => slow.say('X-A: 1\r\n'), 100);
    const times = await Promise.all([silent.closed, slow.closed]);
    clearInterval(trickle);
    for (const ms of times) expect(ms).toBeLessThan(3_500);
    expect(slow.text).toBe('');
  });

  it('H1-12 is gone when its body does not end in time', async () => {
    using slow = await Client.dial();
    slow.say('POST /body HTTP/1.1\r\nHost: vendor.test\r\nContent-Length: 1000\r\n\r\n');
    const trickle = setInterval(() => slow.say('a'), 100);
    const ms = await slow.closed;
    clearInterval(trickle);
    expect(ms).toBeLessThan(4_500);
  });

  it('may ask again on a connection, and is gone when it does not', async () => {
    using client = await Client.dial();
    for (let time = 1; time <= 3; time += 1) {
      client.say('GET / HTTP/1.1\r\nHost: vendor.test\r\n\r\n');
      await client.hears(new RegExp(`(hello[^]*){${time}}`));
    }
    expect(await client.closed).toBeLessThan(5_000);
  });
});

describe('a client that is loud', () => {
  it('H1-13 gets 431 for a flood of fields, and nothing of it is heard', async () => {
    using one = await Client.dial();
    one.say(`GET /flood HTTP/1.1\r\nHost: vendor.test\r\nX-A: ${'a'.repeat(9_000)}\r\n\r\n`);
    await one.closed;
    expect(one.text).toMatch(/^HTTP\/1\.1 431 /);
    using many = await Client.dial();
    many.say(`GET /flood HTTP/1.1\r\nHost: vendor.test\r\n${'X: 1\r\n'.repeat(20_000)}`);
    await many.closed;
    expect(many.text).toMatch(/^HTTP\/1\.1 431 /);
    expect(heard).not.toContain('/flood');
  });

  it.each([
    'hello?\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ])('gets 400 for %j', async (text) => {
    using client = await Client.dial();
    client.say(text);
    await client.closed;
    expect(client.text).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('is gone when it sends many requests without waiting for answers', async () => {
    using client = await Client.dial();
    const before = heard.length;
    client.say('GET /wait HTTP/1.1\r\nHost: vendor.test\r\n\r\n'.repeat(100));
    await client.closed;
    expect(heard.length - before).toBeLessThanOrEqual(8);
  });

  it('is gone when there are as many connections as may be', async () => {
    const clients = await Promise.all(Array.from({ length: 45 }, () => Client.dial()));
    await Promise.race(clients.map(({ closed }) => closed));
    expect(door.connections).toBeLessThanOrEqual(40);
    for (const client of clients) client[Symbol.dispose]();
    await Promise.all(clients.map(({ closed }) => closed));
  });
});

describe('a door that closes', () => {
  it('ends who asks for nothing, and waits for the answers under way', async () => {
    door.destroy();
    door = open();
    answer = Promise.withResolvers();
    heard.length = 0;
    using idle = await Client.dial();
    using busy = await Client.dial();
    busy.say('GET /wait HTTP/1.1\r\nHost: vendor.test\r\n\r\n');
    while (heard.length === 0) await new Promise((next) => setTimeout(next, 5));
    const drained = door.drain();
    await idle.closed;
    await vi.waitFor(() => expect(door.connections).toBe(1));
    answer.resolve();
    await drained;
    await busy.closed;
    expect(busy.text).toMatch(/late/);
    using tooLate = await Client.dial();
    await tooLate.closed;
    expect(tooLate.text).toBe('');
  });
});
