import { pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { addressOwner } from '../../../relay/entrance/address-count.ts';
import { Journal, type RequestRecord } from '../../../relay/entrance/journal.ts';
import { exposeJournal } from '../../../relay/entrance/metrics.ts';
import { printable } from '../../../relay/entrance/printable.ts';

function journalWith(accessLog: boolean, level = 'info'): { journal: Journal; lines: string[] } {
  const lines: string[] = [];
  const log = pino({ level }, { write: (line: string) => lines.push(line) });
  return { journal: new Journal({ log, accessLog }), lines };
}

function record(changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    visitorAddress: '203.0.113.7',
    hostname: 'code.alice.vendor.dev',
    method: 'GET',
    target: '/a/b?token=canary',
    protocol: 'http/1.1',
    status: 200,
    requestBytes: 10,
    responseBytes: 1_000,
    startedAtMs: performance.now() - 3,
    problem: undefined,
    ...changes,
  };
}

describe('the access log', () => {
  it('has one line for each request, without the query', () => {
    const { journal, lines } = journalWith(true);
    journal.request(record());
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0] ?? '');
    expect(line).toMatchObject({
      msg: 'request',
      visitor: '203.0.113.7',
      host: 'code.alice.vendor.dev',
      method: 'GET',
      path: '/a/b',
      status: 200,
      requestBytes: 10,
      responseBytes: 1_000,
      protocol: 'http/1.1',
    });
    expect(line.ms).toBeGreaterThanOrEqual(3);
    expect(lines.join('')).not.toContain('canary');
  });

  it('can be switched off, while counting goes on', () => {
    const { journal, lines } = journalWith(false);
    journal.request(record());
    expect(lines).toHaveLength(0);
    expect(journal.requestsByClass[2]).toBe(1);
  });

  it('P-8 obeys nothing that a visitor wrote, and stays below 8 KiB', () => {
    const { journal, lines } = journalWith(true);
    const target = `/\x1b[2J\u202e\u0085\r\n\x7f${'\u{1f600}"\\'.repeat(4_000)}`;
    journal.request(record({ target, hostname: 'x'.repeat(253) }));
    expect(lines).toHaveLength(1);
    const [line = ''] = lines;
    expect(Buffer.byteLength(line)).toBeLessThan(8_192);
    expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(JSON.parse(line).path).toContain('\\u{202e}');
  });

  it('P-8 tells of refused connections only when asked, and escaped', () => {
    const quiet = journalWith(true);
    quiet.journal.refusedConnection('bad-name', '203.0.113.7', 'x');
    expect(quiet.lines).toHaveLength(0);
    const { journal, lines } = journalWith(true, 'debug');
    journal.refusedConnection('bad-name', '203.0.113.7', '\x1b]0;pwned\x07');
    expect(JSON.parse(lines[0] ?? '').detail).toBe('\\u{1b}]0;pwned\\u{7}');
  });
});

describe('printable text', () => {
  it('is left alone when it is', () => {
    expect(printable('/a b/~ü/日本', 100)).toBe('/a b/~ü/日本');
  });

  it('shows what would hide or reorder', () => {
    for (const code of [0, 7, 0x1b, 0x7f, 0x9b, 0xad, 0x200b, 0x202e, 0x2066, 0xfeff, 0xe0041]) {
      const hex = `\\u{${code.toString(16)}}`;
      expect(printable(`a${String.fromCodePoint(code)}b`, 100)).toBe(`a${hex}b`);
    }
    expect(printable('\ud800', 100)).toBe('\\u{d800}');
  });

  it('is cut', () => {
    expect(printable('a'.repeat(50), 10)).toBe(`${'a'.repeat(10)}...`);
    expect(printable('ü'.repeat(50), 10)).toBe(`${'ü'.repeat(10)}...`);
    expect(printable('\0'.repeat(50), 10).length).toBeLessThan(20);
  });
});

describe('the figures', () => {
  it('are what was counted', async () => {
    const { journal } = journalWith(false);
    const registry = new Registry();
    exposeJournal(journal, registry);
    journal.request(record());
    journal.request(record({ status: 503, problem: 'device-away', startedAtMs: -1e6 }));
    journal.request(record({ status: 0 }));
    journal.refused(400);
    journal.refusedConnection('bad-name', '203.0.113.7', '');
    journal.handshakes.resumed += 1;
    journal.connectionsOpen = 7;
    journal.requestsOpen = 2;
    for (let times = 0; times < 2; times += 1) {
      const text = await registry.metrics();
      for (const line of [
        'waygate_entrance_connections 7',
        'waygate_entrance_open_requests 2',
        'waygate_entrance_request_bytes_total 30',
        'waygate_entrance_response_bytes_total 3000',
        'waygate_entrance_handshakes_total{result="resumed"} 1',
        'waygate_entrance_handshakes_total{result="complete"} 0',
        'waygate_entrance_refusals_total{reason="bad-name"} 1',
        'waygate_entrance_requests_total{status="2xx"} 1',
        'waygate_entrance_requests_total{status="5xx"} 1',
        'waygate_entrance_requests_total{status="none"} 1',
        'waygate_entrance_refused_requests_total{status="400"} 1',
        'waygate_entrance_problems_total{kind="device-away"} 1',
        'waygate_entrance_request_duration_seconds_bucket{le="0.001"} 0',
        'waygate_entrance_request_duration_seconds_bucket{le="60"} 2',
        'waygate_entrance_request_duration_seconds_bucket{le="+Inf"} 3',
        'waygate_entrance_request_duration_seconds_count 3',
      ]) {
        expect(text.split('\n')).toContain(line);
      }
      expect(text).toContain('# TYPE waygate_entrance_request_duration_seconds histogram');
    }
    const metrics = await registry.getMetricsAsJSON();
    const durations = metrics.find(({ name }) => name.endsWith('duration_seconds'));
    expect(durations?.values.at(-1)).toMatchObject({ value: 3 });
  });
});

describe('the owner of an address', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['2001:db8:1:2:3:4:5::', '2001:db8:1:2::/64'],
  ])('%s is %s', (address, owner) => expect(addressOwner(address)).toBe(owner));
});
