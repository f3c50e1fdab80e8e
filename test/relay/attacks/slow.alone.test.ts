// H1-12: slow on purpose. Some hundred visitors, with the deadlines as they are; the long suite has
// more of them, and waits for the deadlines of bodies and of reading too.
import { describe, expect, it } from 'vitest';
import { until } from '../../world/visits.ts';
import { NormalVisitor, SlowVisitors } from './slow-visitors.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();

describe('slow visitors', { timeout: 60_000 }, () => {
  it('H1-12 slow heads are gone within 15 s, and nobody else notices', async () => {
    const residentBytes = vendor().residentBytes('relay');
    using bodies = await SlowVisitors.begin(vendor(), 'body', 100);
    using reads = await SlowVisitors.begin(vendor(), 'read', 50);
    using heads = await SlowVisitors.begin(vendor(), 'head', 300);
    using normal = new NormalVisitor(vendor());
    await until(() => heads.left === 0, 20_000, 'all slow heads gone');
    const normalMs = await normal.stop();
    expect(Math.max(...heads.goneAfterS)).toBeLessThan(15);
    expect(Math.min(...heads.goneAfterS)).toBeGreaterThan(9);
    for (const visitor of heads.visitors) {
      expect(visitor.finals().map(({ status }) => status)).toEqual([408]);
    }
    // Who waited for a deadline would wait for seconds; other suites on the same cores take their share.
    expect(normalMs).toBeLessThan(500);
    expect(normal.tookMs.length).toBeGreaterThan(50);
    // Their time has not come.
    expect([bodies.left, reads.left]).toEqual([100, 50]);
    // About half of it is found; buffers that nobody has collected yet make it vary by a quarter.
    expect(vendor().residentBytes('relay') - residentBytes).toBeLessThan(100 * 1_048_576);
    expect(await vendor().alive()).toBe(true);
  });
});
