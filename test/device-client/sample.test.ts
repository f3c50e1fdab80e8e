import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Sample, startSample } from '../../device-client/sample.ts';

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
afterAll(() => sample.stop());

/** As the entrance says it. */
const FORWARDED = {
  'x-waygate-trust': '0',
  'x-waygate-via': 'relay',
  'x-forwarded-for': '192.0.2.7',
  host: 'hello.demo.vendor.localhost',
};

describe('the sample workspace', () => {
  it('shows a person what arrived', async () => {
    const { statusCode, headers, body } = await request(sample.url, { headers: FORWARDED });
    const page = await body.text();
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page).toContain('192.0.2.7');
    expect(page).toContain('<b>hello.demo.vendor.localhost</b>');
    expect(page).toContain('<th scope="row">x-waygate-via</th><td>relay</td>');
  });

  it('escapes what arrived, and lets no script run but its own', async () => {
    const evil = '<script>alert(1)</script>"\'&';
    const { headers, body } = await request(`${sample.url}/`, {
      headers: { ...FORWARDED, 'x-evil': evil, 'x-forwarded-for': evil, 'x-waygate-via': evil },
    });
    const page = await body.text();
    expect(page).not.toContain('<script>alert');
    const policy = String(headers['content-security-policy']);
    const nonce = /'nonce-([\w-]{22})'/.exec(policy)?.[1] ?? 'none';
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(page).toContain(`<script nonce="${nonce}">`);
    expect(policy).toContain("default-src 'none'");
  });

  it('tells a program what arrived, by any method', async () => {
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      const { body } = await request(`${sample.url}/headers?a=1`, { method, headers: FORWARDED });
      expect(await body.json()).toMatchObject({
        method,
        url: '/headers?a=1',
        headers: FORWARDED,
        trust: '0',
        address: '192.0.2.7',
        via: 'relay',
      });
    }
  });

  it('answers HEAD without a body, other paths with 404, other methods with 405', async () => {
    const head = await request(`${sample.url}/download?bytes=5`, { method: 'HEAD' });
    expect(head.headers['content-length']).toBe('5');
    expect(await head.body.text()).toBe('');
    for (const path of ['/nothing', '/constructor', '/__proto__', '//x']) {
      const { statusCode, body } = await request(sample.url + path);
      expect([path, statusCode]).toEqual([path, 404]);
      await body.dump();
    }
    const { statusCode, headers, body } = await request(`${sample.url}/upload`);
    expect([statusCode, headers['allow']]).toEqual([405, 'POST']);
    await body.dump();
  });

  it('sends as many bytes as are asked for', async () => {
    for (const bytes of [0, 1, 65_536, 65_537, 3_000_000]) {
      const { headers, body } = await request(`${sample.url}/download?bytes=${bytes}`);
      expect(headers['content-length']).toBe(String(bytes));
      expect((await body.arrayBuffer()).byteLength).toBe(bytes);
    }
    for (const bytes of ['-1', 'x', '1e9', '9999999999999999']) {
      const { statusCode, body } = await request(`${sample.url}/download?bytes=${bytes}`);
      expect([bytes, statusCode]).toEqual([bytes, 400]);
      await body.dump();
    }
  });

  it('sends no further ahead than the reader reads', async () => {
    const { body } = await request(`${sample.url}/download?bytes=999999999999999`);
    const heapBefore = process.memoryUsage().arrayBuffers;
    await once(body, 'readable');
    // The reader stands still for a hundred turns of the event loop; sockets hold a few MiB at most.
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
    expect(process.memoryUsage().arrayBuffers - heapBefore).toBeLessThan(32_000_000);
    body.destroy();
    await once(body, 'close').catch(() => undefined);
  });

  it('says what was uploaded', async () => {
    const bytes = randomBytes(1_000_000);
    const { body } = await request(`${sample.url}/upload`, { method: 'POST', body: bytes });
    expect(await body.json()).toEqual({
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
  });

  it('echoes a body while it comes', async () => {
    const asked = httpRequest(`${sample.url}/echo`, { method: 'POST' });
    asked.write('first');
    const [response]: IncomingMessage[] = await once(asked, 'response');
    if (response === undefined) throw new Error('There was no response.');
    response.setEncoding('utf8');
    expect(await once(response, 'data')).toEqual(['first']);
    asked.end(' and last');
    expect(await text(response)).toBe(' and last');
  });

  it('sends the first event at once and the next after a second', async () => {
    const beganMs = performance.now();
    const { headers, body } = await request(`${sample.url}/events`);
    expect(headers['content-type']).toBe('text/event-stream');
    const [first] = await once(body, 'data');
    expect(String(first)).toBe('id: 0\ndata: {"count":0}\n\n');
    expect(performance.now() - beganMs).toBeLessThan(900);
    const [second] = await once(body, 'data');
    expect(String(second)).toBe('id: 1\ndata: {"count":1}\n\n');
    expect(performance.now() - beganMs).toBeGreaterThan(900);
    body.destroy();
    await once(body, 'close').catch(() => undefined);
  });

  it('echoes WebSocket messages, text and binary, up to 64 MiB', async () => {
    const socket = new WebSocket(`${sample.url.replace('http', 'ws')}/ws`, { maxPayload: 2 ** 27 });
    await once(socket, 'open');
    expect(socket.extensions).toBe('');
    socket.send('héllo');
    const [word, wordBinary] = await once(socket, 'message');
    expect([String(word), wordBinary]).toEqual(['héllo', false]);
    const large = randomBytes(67_108_864);
    socket.send(large);
    const [back, backBinary] = await once(socket, 'message');
    expect(backBinary).toBe(true);
    expect(large.equals(back)).toBe(true);
    socket.send(Buffer.alloc(67_108_865));
    const [code] = await once(socket, 'close');
    expect(code).toBe(1009);
  });

  it('goes on echoing after a reader has stood still', async () => {
    const socket = new WebSocket(`${sample.url.replace('http', 'ws')}/ws`);
    await once(socket, 'open');
    socket.pause();
    const message = Buffer.alloc(1_000_000, 'x');
    for (let count = 0; count < 40; count += 1) socket.send(message);
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
    let echoed = 0;
    const all = new Promise<void>((settle) => {
      socket.on('message', () => {
        echoed += 1;
        if (echoed === 40) settle();
      });
    });
    socket.resume();
    await all;
    socket.terminate();
  });

  it('refuses an upgrade elsewhere, and lives on after visitors who go away', async () => {
    const other = new WebSocket(`${sample.url.replace('http', 'ws')}/other`);
    const [error] = await once(other, 'error');
    expect(String(error)).toContain('404');
    const { port } = new URL(sample.url);
    const rude = connect(Number(port), '127.0.0.1');
    rude.write('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc');
    await once(rude, 'data');
    rude.resetAndDestroy();
    const { statusCode, body } = await request(`${sample.url}/headers`);
    expect(statusCode).toBe(200);
    await body.dump();
  });

  it('stops with connections open', async () => {
    const mine = await startSample();
    const socket = new WebSocket(`${mine.url.replace('http', 'ws')}/ws`);
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await mine.stop();
    await closed;
  });
});
