import { once } from 'node:events';
import { Socket } from 'node:net';
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { tlsExporter } from '../../../relay/protocol/hello.ts';
import { challenge, expectFault, judge, RELAY } from './hello-fixture.ts';

describe('over real TLS', () => {
  test('both ends see one exporter, and a proof through a middle does not pass', async () => {
    const authority = await createAuthority(RELAY);
    const { certPem, keyPem } = await authority.issue([RELAY]);
    const arrived: TLSSocket[] = [];
    const servers = await Promise.all(
      [0, 1].map(async () => {
        const server = createServer({ cert: certPem, key: keyPem }, (socket) =>
          arrived.push(socket),
        );
        await once(server.listen(0, '127.0.0.1'), 'listening');
        return server;
      }),
    );
    const ekm = (socket: TLSSocket): Buffer => {
      const bytes = tlsExporter(socket);
      if (bytes === undefined) throw new Error('no exporter');
      return bytes;
    };
    const dialled = await Promise.all(
      servers.map(async (server) => {
        const address = server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        const socket = tlsConnect({
          port: address.port,
          host: '127.0.0.1',
          servername: RELAY,
          ca: authority.caPem,
        });
        const accepted = once(server, 'secureConnection');
        await once(socket, 'secureConnect');
        await accepted;
        return socket;
      }),
    );
    const [middle, relayEnd] = arrived;
    const [deviceEnd, middleOut] = dialled;
    if (!middle || !relayEnd || !deviceEnd || !middleOut) throw new Error('not connected');
    const seen = new Set([ekm(deviceEnd), ekm(middleOut)].map((bytes) => bytes.toString('hex')));
    expect(new Set(arrived.map((socket) => ekm(socket).toString('hex')))).toEqual(seen);
    expect(seen.size).toBe(2);
    const open = await challenge({ exporter: ekm(middleOut) });
    expectFault(await judge(open.token, { exporter: ekm(deviceEnd) }), 'ERR_HELLO_EXPORTER');
    expect((await judge(open.token, { exporter: ekm(middleOut) })).ok).toBe(true);
    for (const socket of [...dialled, ...arrived]) socket.destroy();
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    expect(tlsExporter(deviceEnd)).toBeUndefined();
  });

  test('a plain socket has no exporter', () => {
    expect(tlsExporter(new Socket())).toBeUndefined();
  });
});
