import { once } from 'node:events';
import { connect as connectHttp2, performServerHandshake } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ListenError } from '../../../relay/entrance/listen.ts';
import {
  alice,
  answerTo,
  chooseContext,
  type FrontDoor,
  greet,
  greetingOf,
  openFrontDoor,
  openssl,
  received,
} from './front-door.ts';
import { helloBytes, realHello, serverName } from './hello-bytes.ts';

let door: FrontDoor | undefined;
const sockets: Socket[] = [];

async function open(options: Parameters<typeof openFrontDoor>[0] = {}): Promise<FrontDoor> {
  door = await openFrontDoor(options);
  return door;
}

function raw(port: number): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => socket.destroy());
  sockets.push(socket);
  return socket;
}

afterEach(() => {
  door?.stop();
  for (const socket of sockets.splice(0)) socket.destroy();
});

const hello = (name: string, alpn?: string[]): Buffer =>
  helloBytes({ serverNames: [serverName(name)], ...(alpn === undefined ? {} : { alpn }) });
const ALERT = { unrecognizedName: '15030100020270', noProtocol: '15030100020278' };

describe('a visitor', () => {
  it('gets the certificate of the name he asks for, and is handed over with it', async () => {
    const { listener, journal } = await open();
    const greeting = await greet(listener.port, 'Code.Alice.Vendor.Test');
    expect(greeting).toEqual({
      hostname: 'code.alice.vendor.test',
      alpn: 'http/1.1',
      resumed: false,
    });
    expect(journal.handshakes.complete).toBe(1);
  });

  it('T-8 gets no other name’s certificate', async () => {
    const { listener } = await open();
    for (const name of ['alice.vendor.test', 'bob.vendor.test']) {
      const socket = tlsConnect({
        port: listener.port,
        servername: name,
        rejectUnauthorized: false,
      });
      await once(socket, 'secureConnect');
      expect(socket.getPeerCertificate().subject.CN).toBe(name);
      socket.destroy();
    }
  });

  it('is served over bytes that come one by one', async () => {
    const { listener } = await open();
    const drip = createServer((from) => {
      const to = connect({ host: '127.0.0.1', port: listener.port, noDelay: true });
      sockets.push(from, to);
      to.pipe(from);
      from.on('data', (bytes) => {
        for (const byte of bytes) to.write(Buffer.from([byte]));
      });
    });
    drip.listen(0, '127.0.0.1');
    await once(drip, 'listening');
    const address = drip.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect(await greet(port, 'alice.vendor.test')).toMatchObject({ hostname: 'alice.vendor.test' });
    drip.close();
  });

  it('waits for a certificate that has to be fetched', async () => {
    const { listener } = await open({
      choose: (hostname) => Promise.resolve(chooseContext(hostname)),
    });
    expect(await greet(listener.port, 'alice.vendor.test')).toMatchObject({ alpn: 'http/1.1' });
    await expect(greet(listener.port, 'eve.vendor.test')).rejects.toThrow(/unrecognized name/i);
  });

  it('T-3 who sends no name or an IP address gets the default certificate, without a name', async () => {
    const { listener, journal } = await open();
    for (const name of [['-noservername'], ['-servername', '127.0.0.1']]) {
      const output = await openssl(listener.port, ...name);
      expect(output).toContain('subject=CN = vendor.test');
      expect(output).toContain('HELLO {"hostname":null');
    }
    expect(journal.handshakes).toMatchObject({ complete: 2, refused: 0 });
  });

  it('who speaks plain HTTP is told so in HTTP', async () => {
    const { listener, journal } = await open();
    const answer = await answerTo(listener.port, 'GET / HTTP/1.1\r\nHost: alice\r\n\r\n');
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 [\s\S]*https:\/\//);
    expect(journal.refusals['plain-http']).toBe(1);
  });

  it('whose TLS breaks later is cut off', async () => {
    const { listener, accepted } = await open();
    let garble: Socket | undefined;
    const between = createServer((from) => {
      garble = connect({ host: '127.0.0.1', port: listener.port });
      sockets.push(from, garble);
      from.pipe(garble).pipe(from);
    }).listen(0, '127.0.0.1');
    await once(between, 'listening');
    const address = between.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const socket = tlsConnect({ port, servername: 'alice.vendor.test', rejectUnauthorized: false });
    socket.on('error', () => undefined);
    await once(socket, 'data');
    const [taken] = accepted;
    if (taken === undefined || garble === undefined) throw new Error('nothing was accepted');
    const closed = new Promise((resolve) => taken.once('close', resolve));
    garble.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32)]));
    await closed;
    between.close();
  });
});

describe('attack: a visitor of TLS 1.2 who asks for another handshake', () => {
  it('gets none, and the connection ends', async () => {
    const { listener, accepted, journal } = await open();
    const socket = tlsConnect({
      port: listener.port,
      servername: 'alice.vendor.test',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    await once(socket, 'data');
    let renewed = false;
    socket.renegotiate({}, (error) => {
      renewed = error === null;
    });
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(renewed).toBe(false);
    await vi.waitFor(() => expect(accepted.size).toBe(0));
    expect(journal.handshakes).toMatchObject({ complete: 1, failed: 0 });
  });
});

describe('T-1 names that nobody serves', () => {
  it('get unrecognized_name, are counted and logged escaped', async () => {
    const { listener, journal, logged } = await open();
    const { port } = listener;
    const names = ['nobody.vendor.test', '', 'a\0b', '\x1b[31mred', 'ä', 'a_b.vendor.test'];
    for (const name of names) {
      expect((await answerTo(port, hello(name))).toString('hex')).toBe(ALERT.unrecognizedName);
    }
    const two = helloBytes({ serverNames: [serverName('alice.vendor.test', 'bob.vendor.test')] });
    expect((await answerTo(port, two)).toString('hex')).toBe(ALERT.unrecognizedName);
    expect(journal.refusals).toMatchObject({ 'unknown-name': 1, 'bad-name': 6 });
    expect(journal.handshakes).toMatchObject({ refused: 7, complete: 0 });
    expect(logged.join('')).toContain('u{1b}[31mred');
    expect(logged.join('')).not.toContain('\x1b');
  });

  it('T-4 hundreds of fuzzed names leave it alive', async () => {
    const { listener } = await open();
    const names = fc.sample(fc.string({ unit: 'binary', maxLength: 300 }), 300);
    const answers = await Promise.all(
      names.map((name) => answerTo(listener.port, hello(Buffer.from(name).toString('latin1')))),
    );
    for (const answer of answers) expect(answer.toString('hex')).toBe(ALERT.unrecognizedName);
    expect(await greet(listener.port, 'alice.vendor.test')).toMatchObject({ alpn: 'http/1.1' });
  });

  it('T-4 a chooser that fails is logged and answered, and nothing else happens', async () => {
    let way = 0;
    const { listener, logged, journal } = await open({
      choose: () => {
        way += 1;
        if (way === 1) throw new Error('planted one');
        if (way === 2) return Promise.reject(new Error('planted two'));
        return alice;
      },
    });
    for (let times = 0; times < 2; times += 1) {
      const answer = await answerTo(listener.port, hello('alice.vendor.test'));
      expect(answer.toString('hex')).toBe('15030100020250');
    }
    expect(logged.join('')).toContain('planted one');
    expect(logged.join('')).toContain('planted two');
    expect(journal.refusals.internal).toBe(2);
    expect(await greet(listener.port, 'alice.vendor.test')).toMatchObject({ alpn: 'http/1.1' });
  });

  it('T-4 a failing take-over ends that connection alone', async () => {
    const { listener, logged } = await open({
      accept: () => {
        throw new Error('planted');
      },
    });
    await expect(greet(listener.port, 'alice.vendor.test')).rejects.toThrow();
    await expect(greet(listener.port, 'alice.vendor.test')).rejects.toThrow();
    expect(logged.join('')).toContain('planted');
  });
});

describe('protocols', () => {
  it('are chosen in our order, by name', async () => {
    const { listener } = await open();
    const both = { ALPNProtocols: ['http/1.1', 'h2'] };
    expect(await greet(listener.port, 'alice.vendor.test', both)).toMatchObject({ alpn: 'h2' });
    expect(await greet(listener.port, 'bob.vendor.test', both)).toMatchObject({ alpn: 'http/1.1' });
  });

  it('are ready to be spoken when the connection is handed over', async () => {
    const { listener } = await open({
      accept: (socket, _from, alpn) => {
        expect(alpn).toBe('h2');
        performServerHandshake(socket).on('stream', (stream) => {
          stream.respond({ ':status': 204 }, { endStream: true });
        });
      },
    });
    const session = connectHttp2('https://alice.vendor.test', {
      createConnection: () =>
        tlsConnect({
          port: listener.port,
          servername: 'alice.vendor.test',
          ALPNProtocols: ['h2'],
          rejectUnauthorized: false,
        }),
    });
    const [headers] = await once(session.request({ ':path': '/' }), 'response');
    expect(headers[':status']).toBe(204);
    session.destroy();
  });

  it('T-7 acme-tls/1 and others that we do not speak get no_application_protocol', async () => {
    const { listener, journal } = await open();
    for (const protocol of ['acme-tls/1', 'ssh', 'h3']) {
      const answer = await answerTo(listener.port, hello('alice.vendor.test', [protocol]));
      expect(answer.toString('hex')).toBe(ALERT.noProtocol);
    }
    await expect(
      greet(listener.port, 'bob.vendor.test', { ALPNProtocols: ['h2'] }),
    ).rejects.toThrow(/no application protocol/i);
    expect(journal.refusals['no-protocol']).toBe(4);
  });
});

describe('deadlines and bounds', () => {
  const limits = { helloTimeoutMs: 300, handshakeTimeoutMs: 600, refusedLingerMs: 200 };

  it('T-6 500 half handshakes go in time, and a normal one is fast meanwhile', async () => {
    const { listener, journal } = await open({ limits });
    const half = await realHello('alice.vendor.test');
    const closed: Promise<unknown>[] = [];
    for (let count = 0; count < 500; count += 1) {
      const socket = raw(listener.port);
      closed.push(new Promise((resolve) => socket.once('close', resolve)));
      socket.resume();
      if (count % 3 === 0) socket.write(half.subarray(0, 40));
      if (count % 3 === 1) socket.write(half);
    }
    await vi.waitFor(() => expect(listener.connections).toBe(500));
    const before = performance.now();
    await greet(listener.port, 'alice.vendor.test');
    expect(performance.now() - before).toBeLessThan(1_500);
    await Promise.all(closed);
    expect(performance.now() - before).toBeLessThan(4_000);
    expect(journal.handshakes).toMatchObject({ timeout: 500, complete: 1 });
    await vi.waitFor(() => expect(journal.connectionsOpen).toBe(0));
  });

  it('T-10 a hello that comes too slowly is cut off at the deadline', async () => {
    const { listener, journal } = await open({ limits });
    const socket = raw(listener.port);
    socket.resume();
    const drip = setInterval(() => socket.write(Buffer.from([22])), 50);
    socket.write(hello('alice.vendor.test').subarray(0, 20));
    await once(socket, 'close');
    clearInterval(drip);
    expect(journal.handshakes.timeout).toBe(1);
  });

  it('T-10 a hello above 16 KiB gets an alert at once', async () => {
    const { listener } = await open();
    const answer = await answerTo(listener.port, Buffer.from([22, 3, 1, 0x48, 0x01, 1]));
    expect(answer[0]).toBe(21);
  });

  it('an established connection outlives the handshake deadline', async () => {
    const { listener, accepted } = await open({ limits });
    const socket = tlsConnect({
      port: listener.port,
      servername: 'alice.vendor.test',
      rejectUnauthorized: false,
    });
    await once(socket, 'data');
    const stalled = raw(listener.port);
    stalled.write(await realHello('alice.vendor.test'));
    stalled.resume();
    await once(stalled, 'close');
    expect(accepted.size).toBe(1);
    socket.destroy();
  });

  it('one address cannot have all connections', async () => {
    const { listener, journal } = await open({ limits: { connectionsPerAddressMax: 2 } });
    const [first] = [raw(listener.port), raw(listener.port)];
    await vi.waitFor(() => expect(listener.connections).toBe(2));
    expect(await answerTo(listener.port, '')).toHaveLength(0);
    expect(journal.refusals['too-many-per-address']).toBe(1);
    first.destroy();
    await vi.waitFor(() => expect(listener.connections).toBe(1));
    expect(await greet(listener.port, 'alice.vendor.test')).toMatchObject({ alpn: 'http/1.1' });
  });

  it('all addresses together cannot have more than the process can hold', async () => {
    const { listener, journal } = await open({ connectionsMax: 1 });
    raw(listener.port);
    await vi.waitFor(() => expect(listener.connections).toBe(1));
    await received(raw(listener.port));
    expect(journal.refusals['too-many-connections']).toBe(1);
  });

  it('a taken port is told with what to do', async () => {
    const { listener } = await open();
    const second = openFrontDoor({ port: listener.port });
    await expect(second).rejects.toThrow(ListenError);
    await expect(second).rejects.toThrow(/another program uses it.*choose another port/i);
  });

  it('close() takes no more and leaves the rest, destroy() cuts the rest', async () => {
    const { listener } = await open();
    const socket: TLSSocket = tlsConnect({
      port: listener.port,
      servername: 'alice.vendor.test',
      rejectUnauthorized: false,
    });
    await once(socket, 'data');
    listener.close();
    await expect(greet(listener.port, 'alice.vendor.test')).rejects.toThrow('ECONNREFUSED');
    expect(listener.connections).toBe(1);
    const cut = greetingOf(socket).catch((error: Error) => error.message);
    listener.destroy();
    expect(await cut).toMatch(/closed|ECONNRESET/);
  });
});
