// The promise: an operator sees what happens, in figures that add up and in one line per request that
// holds nothing a visitor would not want in a log.
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readHead, readRequest, readResponse } from '../world/http-text.ts';
import { type LogLine, within } from '../world/program-process.ts';
import { type Metrics, type ProgramName, startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, askRaw, dialTls } from '../world/visitor.ts';
import { ask, until } from '../world/visits.ts';
import { RawWorkspace } from '../world/workspace.ts';

const WAIT_MS = 15_000;
const ENTRANCE = 'waygate_entrance_';
const open = new AsyncDisposableStack();
let raw: RawWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  raw = open.use(await RawWorkspace.open());
  vendor = open.use(await startVendor({ raw: raw.url }));
}, 60_000);
afterEach(() => raw.forget());
afterAll(() => open.disposeAsync());

function request(target: string, ...lines: readonly string[]): string {
  return `${[`POST ${target} HTTP/1.1`, `Host: ${vendor.host('raw')}`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** By how much each figure of a program has moved meanwhile. */
async function moved(program: ProgramName, act: () => Promise<unknown>): Promise<Metrics> {
  const before = await vendor.metrics(program);
  await act();
  const after = await vendor.metrics(program);
  return new Map([...after].map(([key, value]) => [key, value - (before.get(key) ?? 0)]));
}

/** The log lines of requests to this path, once there are so many. */
async function requestLines(path: string, count = 1): Promise<LogLine[]> {
  const lines = (): LogLine[] =>
    vendor.logOf('relay').filter((line) => line.msg === 'request' && line['path'] === path);
  await until(() => lines().length >= count, WAIT_MS, `a log line for ${path}`);
  return lines();
}

describe('/metrics', { timeout: 30_000 }, () => {
  it('counts requests by class, and bytes of bodies in both directions', async () => {
    const responses = {
      '/a': 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'.concat('x'.repeat(1_000)),
      '/b': 'HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n',
      '/c': 'HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnever\r\n0\r\n\r\n',
    };
    const figures = await moved('relay', async () => {
      const served = raw.next(async (connection) => {
        for (const response of Object.values(responses)) {
          await readRequest(connection);
          connection.write(response);
        }
      });
      using visitor = await arrive(vendor, 'raw');
      for (const target of Object.keys(responses)) {
        visitor.write(`${request(target, 'Content-Length: 300')}${'y'.repeat(300)}`);
        await readResponse(visitor);
      }
      await served;
    });
    const classes = ['2xx', '3xx', '4xx', '5xx'].map((name) =>
      figures.get(`${ENTRANCE}requests_total{status="${name}"}`),
    );
    expect(classes).toEqual([1, 1, 1, 0]);
    expect(figures.get(`${ENTRANCE}request_bytes_total`)).toBe(900);
    expect(figures.get(`${ENTRANCE}response_bytes_total`)).toBe(1_005);
    expect(figures.get(`${ENTRANCE}request_duration_seconds_count`)).toBe(3);
  });

  it('counts problems and refusals by their kind', async () => {
    const figures = await moved('relay', async () => {
      const served = raw.next(async (connection) => {
        await readHead(connection);
        connection.end();
      });
      await askRaw(vendor, 'raw', request('/broken', 'Content-Length: 0'));
      await served;
      await ask(vendor, vendor.url('nothing'));
      await askRaw(vendor, 'raw', request('/', 'Content-Length: 05'));
      const servername = 'web.nobody.vendor.test';
      await expect(dialTls(vendor, 'raw', { servername })).rejects.toThrow();
    });
    const found = [
      'problems_total{kind="workspace-broke"}',
      'problems_total{kind="no-such-workspace"}',
      'problems_total{kind="bad-request"}',
      'refused_requests_total{status="400"}',
      'refusals_total{reason="unknown-name"}',
      'handshakes_total{result="complete"}',
    ].map((name) => [name, figures.get(ENTRANCE + name)]);
    expect(found.map(([, count]) => count)).toEqual([1, 1, 1, 1, 1, 3]);
  });

  it('shows what is open while it is open', async () => {
    const names = {
      relay: [`${ENTRANCE}connections`, `${ENTRANCE}open_requests`, 'waygate_streams'],
      device: ['waygate_device_streams'],
    } as const;
    const figures = async (): Promise<(number | undefined)[]> => {
      const [relay, device] = [await vendor.metrics('relay'), await vendor.metrics('device')];
      return [
        ...names.relay.map((name) => relay.get(name)),
        ...names.device.map((name) => device.get(name)),
      ];
    };
    // Two connections are the tunnels of the device.
    const settledAt = (count: number) => async (): Promise<boolean> =>
      String(await figures()) === String([2 + count, count, count, count]);
    await until(settledAt(0), WAIT_MS, 'nothing to be open');
    const visitors = await Promise.all([1, 2, 3].map(() => arrive(vendor, 'raw')));
    const served = visitors.map(() => raw.next(readHead));
    for (const visitor of visitors) visitor.write(request('/open', 'Content-Length: 0'));
    await Promise.all(served);
    expect(await settledAt(3)()).toBe(true);
    for (const visitor of visitors) visitor.socket.destroy();
    for (const { socket } of raw.connections) socket.destroy();
    await until(settledAt(0), WAIT_MS, 'nothing to be open any more');
  });

  it('tells of tunnels, devices, and how far they are', async () => {
    const relay = await vendor.metrics('relay');
    expect([relay.get('waygate_devices'), relay.get('waygate_tunnels')]).toEqual([1, 2]);
    expect(relay.get('waygate_hellos{outcome="accepted"}')).toBe(2);
    expect(relay.get('waygate_round_trip_seconds')).toBeGreaterThan(0);
    const device = await vendor.metrics('device');
    expect(device.get('waygate_device_tunnels')).toBe(2);
    expect(device.get('waygate_device_round_trip_seconds')).toBeGreaterThan(0);
    expect(relay.get('process_cpu_seconds_total')).toBeGreaterThan(0);
  });
});

describe('the log', { timeout: 30_000 }, () => {
  it('has one line per request, with what happened and without the query', async () => {
    const served = raw.next(async (connection) => {
      const { body } = await readRequest(connection);
      connection.write(`HTTP/1.1 201 Created\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
    const secrets = ['Cookie: session=topsecret', 'Authorization: Bearer topsecret'];
    const asked = request('/log?token=topsecret', 'Content-Length: 4', ...secrets);
    await askRaw(vendor, 'raw', `${asked}body`);
    await served;
    const lines = await requestLines('/log');
    expect(lines).toEqual([
      expect.objectContaining({
        level: 30,
        program: 'relay',
        msg: 'request',
        visitor: '127.0.0.1',
        host: vendor.hostname('raw'),
        method: 'POST',
        path: '/log',
        status: 201,
        requestBytes: 4,
        responseBytes: 4,
        protocol: 'http/1.1',
        ms: expect.any(Number),
        time: expect.any(Number),
      }),
    ]);
    expect(JSON.stringify(vendor.logOf('relay'))).not.toContain('topsecret');
    expect(JSON.stringify(vendor.logOf('device'))).not.toContain('topsecret');
  });

  it('says why a request had no whole response, also when the visitor left', async () => {
    const half = raw.next(async (connection) => {
      await readHead(connection);
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
      connection.socket.destroySoon();
    });
    await expect(ask(vendor, vendor.url('raw', '/half'))).rejects.toThrow();
    await half;
    const [broken] = await requestLines('/half');
    expect(broken).toMatchObject({ status: 200, responseBytes: 4, problem: 'workspace-broke' });

    const tcp = connect(vendor.port, vendor.address);
    using visitor = await arrive(vendor, 'raw', { socket: tcp });
    const asked = raw.next(readHead);
    visitor.write(request('/left', 'Content-Length: 0'));
    await asked;
    tcp.resetAndDestroy();
    const [left] = await requestLines('/left');
    expect(left).toMatchObject({ status: 0, responseBytes: 0 });
  });

  it('counts the bytes of a pipe, when it ends', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
      );
      await connection.exactly(7);
      connection.end('answer');
    });
    using visitor = await arrive(vendor, 'raw');
    const head = request(
      '/piped',
      ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    );
    visitor.write(head.replace('POST', 'GET'));
    await readHead(visitor);
    visitor.end('goodbye');
    expect(String(await visitor.rest())).toBe('answer');
    await served;
    const closed = once(visitor.socket, 'close');
    visitor.socket.destroy();
    await within(closed, WAIT_MS, 'the visitor’s end');
    const [piped] = await requestLines('/piped');
    expect(piped).toMatchObject({ status: 101, requestBytes: 7, responseBytes: 6 });
  });
});
