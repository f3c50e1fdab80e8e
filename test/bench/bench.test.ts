// The bench's own arithmetic, and that it leaves nothing behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { dnsTable } from './name-servers.ts';
import { cpuUs, memoryKib, Processes } from './processes.ts';
import { comparison, type Sample } from './report.ts';

const SAMPLE: Sample = {
  requestsPerSecond: 0,
  p50Ms: 1,
  p99Ms: 2,
  resumedPerSecond: 3,
  handshakesPerSecond: Number.NaN,
  handshakeCpuUs: Number.NaN,
  downloadMibPerSecond: 4,
  uploadMibPerSecond: 5,
  requestCpuUs: { relay: 20, device: 10 },
  errors: 0,
};

describe('the table', () => {
  it('takes medians, and ratios to the yardstick', () => {
    const samples = (figures: readonly number[]) =>
      figures.map((requestsPerSecond) => ({ ...SAMPLE, requestsPerSecond }));
    const rows = comparison([
      { title: 'yardstick', yardstick: true, samples: samples([100, 1, 1_000]), peakKib: {} },
      { title: 'ours', yardstick: false, samples: samples([50, 60, 0, 90]), peakKib: {} },
    ]).split('\n');
    expect(rows[2]).toMatch(/^\| yardstick \| 100 \|/);
    expect(rows[3]).toMatch(/^\| ours \| 55 \(0\.55\) \| 1\.00 \(1\.00\) \|.*\| – \|/);
  });

  it('shows failed requests beside the name', () => {
    const samples = [{ ...SAMPLE, errors: 7 }];
    expect(comparison([{ title: 'x', yardstick: true, samples, peakKib: {} }])).toContain(
      '| x (**7 errors**) |',
    );
  });
});

describe('the table of name servers', () => {
  it('takes medians, ratios to Knot, and shows what was lost', () => {
    const samples = (perSecond: readonly number[], lost = 0) => ({
      udp: perSecond.map((each) => ({ perSecond: each, cpuUsPerQuery: 2, lost })),
      tcp: [{ perSecond: 10, cpuUsPerQuery: 4, lost: 0 }],
    });
    const rows = dnsTable([
      { title: 'ours', samples: samples([50, 60, 10]), firstCpuUs: 3, memoryKib: 2_048 },
      { title: 'Knot 9', samples: samples([100, 1, 1_000]), firstCpuUs: 2, memoryKib: 1_024 },
      { title: 'other', samples: samples([100], 3), firstCpuUs: 2, memoryKib: 1_024 },
    ]).split('\n');
    expect(rows[2]).toBe(
      '| ours | 50 (0.50) | 2.0 (1.00) | 10 (1.00) | 4.0 (1.00) | 3.0 (1.50) | 2 |',
    );
    expect(rows[3]).toBe('| Knot 9 | 100 | 2.0 | 10 | 4.0 | 2.0 | 1 |');
    expect(rows[4]).toMatch(/^\| other \(\*\*3 lost\*\*\) /);
  });
});

describe('processes', () => {
  it('are measured with what they have started', () => {
    expect(cpuUs(process.pid)).toBeGreaterThan(0);
    expect(memoryKib(process.pid, 'VmRSS')).toBeGreaterThan(10_000);
  });

  it('end with the bench', async () => {
    const folder = temporaryFolder();
    const processes = new Processes(folder);
    const child = processes.start('sleeper', 'sleep', ['1000']);
    await processes[Symbol.asyncDispose]();
    expect(child.signalCode).toBe('SIGTERM');
  });

  it('end when the bench is killed', async () => {
    const script = `
      import { Processes } from './test/bench/processes.ts';
      const child = new Processes(process.argv[1]).start('sleeper', 'sleep', ['1000']);
      process.stdout.write(String(child.pid));`;
    const args = ['--input-type=module', '--eval', script, temporaryFolder()];
    const bench = spawn(process.execPath, args);
    const [pid] = await once(bench.stdout, 'data');
    await until(() => commandLine(pid).startsWith('sleep'));
    bench.kill('SIGKILL');
    await until(() => commandLine(pid) === '');
  }, 15_000);
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Empty when the process is gone, or waits only for somebody to ask for its exit code. */
function commandLine(pid: unknown): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/^.*\//, '');
  } catch {
    return '';
  }
}

/** The kernel tells nobody; the test's own timeout is the bound. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(20);
}
