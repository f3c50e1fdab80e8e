// Proofs by TLS-ALPN-01 (RFC 8737): who asks with `acme-tls/1` alone meets the proof, or nobody.
import { once } from 'node:events';
import { type SecureContext, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Entrance } from '../../../relay/entrance/entrance.ts';
import {
  alice,
  answerTo,
  chooseContext,
  type FrontDoor,
  greet,
  openFrontDoor,
  openssl,
  proof,
} from './front-door.ts';
import { helloBytes, realHello, serverName } from './hello-bytes.ts';

const ACME = 'acme-tls/1';
const NO_PROTOCOL_ALERT = '15030100020278';

let door: FrontDoor | undefined;
afterEach(() => door?.stop());

/** A door where only alice has something to prove. */
async function open(options: Parameters<typeof openFrontDoor>[0] = {}): Promise<FrontDoor> {
  door = await openFrontDoor({
    alpnChallenge: (hostname) => (hostname === 'alice.vendor.test' ? proof : undefined),
    ...options,
  });
  return door;
}

function hello(name: string | undefined, ...alpn: readonly string[]): Buffer {
  return helloBytes({ ...(name === undefined ? {} : { serverNames: [serverName(name)] }), alpn });
}

async function authority(port: number): Promise<TLSSocket> {
  const socket = tlsConnect({
    port,
    servername: 'alice.vendor.test',
    ALPNProtocols: [ACME],
    rejectUnauthorized: false,
  });
  await once(socket, 'secureConnect');
  return socket;
}

describe('an authority that asks for a proof', () => {
  it.each(['-tls1_3', '-tls1_2'])('%s meets it, and the connection ends', async (version) => {
    const { listener, journal, accepted } = await open();
    const args = ['-alpn', ACME, '-servername', 'alice.vendor.test', version];
    const output = await openssl(listener.port, ...args);
    expect(output).toContain(`ALPN protocol: ${ACME}`);
    expect(output).toContain('subject=CN = proof.vendor.test');
    expect(output).not.toContain('HELLO');
    expect(accepted.size).toBe(0);
    expect(journal.handshakes).toMatchObject({ challenge: 1, complete: 0, resumed: 0 });
    await vi.waitFor(() => expect(journal.connectionsOpen).toBe(0));
  });

  it('meets one that had to be fetched', async () => {
    const { listener, journal } = await open({ alpnChallenge: () => Promise.resolve(proof) });
    const socket = await authority(listener.port);
    expect(socket.alpnProtocol).toBe(ACME);
    socket.resume();
    await once(socket, 'close');
    expect(journal.handshakes.challenge).toBe(1);
  });

  it('is cut off when it does not close', async () => {
    const { listener, journal } = await open({ limits: { refusedLingerMs: 200 } });
    const socket = await authority(listener.port);
    socket.allowHalfOpen = true;
    const writing = setInterval(() => socket.write('GET / HTTP/1.1\r\n\r\n'), 50);
    socket.on('error', () => undefined);
    socket.resume();
    await vi.waitFor(() => expect(journal.connectionsOpen).toBe(0), 5_000);
    clearInterval(writing);
    socket.destroy();
    expect(journal.handshakes).toMatchObject({ challenge: 1, timeout: 0 });
  });

  it('is refused when the proof cannot be looked for, and that is logged', async () => {
    const { listener, logged } = await open({
      alpnChallenge: () => Promise.reject(new Error('planted')),
    });
    const answer = await answerTo(listener.port, hello('alice.vendor.test', ACME));
    expect(answer.toString('hex')).toBe('15030100020250');
    expect(logged.join('')).toContain('planted');
  });

  it('waits no longer than for any handshake', async () => {
    const limits = { helloTimeoutMs: 200, handshakeTimeoutMs: 400 };
    const { listener, journal } = await open({
      limits,
      alpnChallenge: () => new Promise(() => undefined),
    });
    expect(await answerTo(listener.port, hello('alice.vendor.test', ACME))).toHaveLength(0);
    expect(journal.handshakes.timeout).toBe(1);
  });
});

describe('attack: acme-tls/1', () => {
  it('without a live challenge gets the alert of an unknown protocol', async () => {
    const { listener, journal } = await open();
    const hellos = ['bob.vendor.test', 'nobody.vendor.test', '127.0.0.1', undefined];
    for (const name of hellos) {
      const answer = await answerTo(listener.port, hello(name, ACME));
      expect(answer.toString('hex')).toBe(NO_PROTOCOL_ALERT);
    }
    expect(journal.refusals['no-protocol']).toBe(hellos.length);
    expect(journal.handshakes).toMatchObject({ refused: hellos.length, challenge: 0 });
  });

  it('beside other protocols is as if it were not there', async () => {
    const asked: string[] = [];
    const { listener } = await open({
      alpnChallenge: (hostname) => {
        asked.push(hostname);
        return proof;
      },
    });
    const greeting = await greet(listener.port, 'alice.vendor.test', {
      ALPNProtocols: [ACME, 'http/1.1'],
    });
    expect(greeting.alpn).toBe('http/1.1');
    for (const others of [[ACME, 'ssh'], ['acme-tls/2'], ['ACME-TLS/1'], [ACME, ACME]]) {
      const answer = await answerTo(listener.port, hello('alice.vendor.test', ...others));
      expect(answer.toString('hex')).toBe(NO_PROTOCOL_ALERT);
    }
    expect(asked).toEqual([]);
  });

  it('shows the proof to nobody who asks for anything else', async () => {
    const { listener } = await open();
    const output = await openssl(listener.port, '-servername', 'alice.vendor.test');
    expect(output).toContain('subject=CN = alice.vendor.test');
    expect(output).toContain('HELLO');
  });

  it('a session of the proof opens no visit', async () => {
    const { listener, journal } = await open();
    // With 1.3 the connection is over before a ticket can be used.
    const tls12 = { maxVersion: 'TLSv1.2', rejectUnauthorized: false } as const;
    const socket = tlsConnect({
      port: listener.port,
      servername: 'alice.vendor.test',
      ALPNProtocols: [ACME],
      ...tls12,
    });
    const sessions: Buffer[] = [];
    socket.on('session', (session: Buffer) => sessions.push(session));
    socket.resume();
    await once(socket, 'close');
    for (const session of sessions) {
      const greeting = await greet(listener.port, 'alice.vendor.test', { session, ...tls12 });
      expect(greeting.resumed).toBe(false);
    }
    expect(sessions.length).toBeGreaterThan(0);
    expect(journal.handshakes.resumed).toBe(0);
  });

  it('cannot ask for more proofs at a time than are looked for', async () => {
    let asked = 0;
    const waiting = Promise.withResolvers<SecureContext | undefined>();
    door = await openFrontDoor();
    const { journal } = door;
    const entrance = new Entrance({
      ...{ host: '127.0.0.1', port: 0, via: 'relay', fallback: () => alice, choose: chooseContext },
      reach: () => ({ kind: 'internal' }),
      journal,
      alpnChallenge: () => {
        asked += 1;
        return waiting.promise;
      },
    });
    const port = await entrance.listen();
    const bytes = await realHello('alice.vendor.test', [ACME]);
    const answers = Array.from({ length: 150 }, () => answerTo(port, bytes));
    await vi.waitFor(() => expect(journal.refusals['no-protocol']).toBe(50), 5_000);
    expect(asked).toBe(100);
    waiting.resolve(undefined);
    for (const answer of await Promise.all(answers)) {
      expect(answer.toString('hex')).toBe(NO_PROTOCOL_ALERT);
    }
    expect(entrance.visitCount).toBe(0);
    entrance.close();
  });
});
