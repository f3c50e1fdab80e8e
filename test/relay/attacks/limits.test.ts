// H1-13, F-13: what one visitor may cost. Processor time and memory are those of the relay's and the
// device's processes.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ProgramName } from './attacked-vendor.ts';
import { RawVisitor } from './raw-visitor.ts';
import { chunked, get } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const CONNECTION_CPU_MS_MAX = 50;
const _MIB = 1_048_576;

/** The cost of one run, when the programs have seen the like before. */
async function cpuMsOf(program: ProgramName, work: () => Promise<void>): Promise<number> {
  const warmUps = 3;
  const runs = 5;
  for (let at = 0; at < warmUps; at += 1) await work();
  const before = vendor().cpuMs(program);
  for (let at = 0; at < runs; at += 1) await work();
  return (vendor().cpuMs(program) - before) / runs;
}

async function dribble(visitor: RawVisitor, text: string): Promise<void> {
  for (let at = 0; at < text.length && visitor.ending === undefined; at += 1) {
    visitor.say(text.charAt(at));
    if (at % 16 === 0) await nextTurn();
  }
}

function lines(count: number, bytes: number): string[] {
  return Array.from({ length: count }, (_, at) => `X-${at}: ${'v'.repeat(bytes)}`);
}

describe('H1-13 one connection at its limits', { timeout: 60_000 }, () => {
  it.each([
    ['101 fields', 431, get('/', ...lines(100, 1))],
    ['a thousand fields', 431, get('/', ...lines(1_000, 1))],
    ['17 KiB of fields', 431, get('/', ...lines(20, 900))],
    ['one field of 20 KiB', 431, get('/', ...lines(1, 20_000))],
    ['an address over 8 KiB', 414, get(`/${'a'.repeat(8_192)}`)],
    ['an address of 60 KiB', 414, get(`/${'a'.repeat(60_000)}`)],
    ['an extension of 64 KiB', 400, chunked('/', `5;${'x'.repeat(65_536)}\r\n`)],
    ['trailers of 64 KiB', 400, chunked('/', `0\r\n${lines(70, 900).join('\r\n')}\r\n\r\n`)],
  ])('H1-13 %s: %d, for little', async (_, status, bytes) => {
    const cpuMs = await cpuMsOf('relay', async () => {
      using visitor = await RawVisitor.dial(vendor());
      visitor.say(bytes);
      expect((await visitor.answer()).status).toBe(status);
      await visitor.over();
    });
    expect(cpuMs).toBeLessThan(CONNECTION_CPU_MS_MAX);
  });

  it('H1-13 just within them all passes', async () => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(`/${'a'.repeat(8_191)}`, ...lines(99, 60)));
    expect((await visitor.answer()).status).toBe(204);
  });

  it('H1-13 a head of 16 KiB that comes byte by byte costs little', async () => {
    const bytes = get('/', `X-A: ${'a'.repeat(16_384 - 100)}`);
    const cpuMs = await cpuMsOf('relay', async () => {
      using visitor = await RawVisitor.dial(vendor());
      await dribble(visitor, bytes);
      expect((await visitor.answer()).status).toBe(204);
    });
    expect(cpuMs).toBeLessThan(CONNECTION_CPU_MS_MAX * 4);
  });
});
