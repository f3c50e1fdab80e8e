import { describe, expect, it } from 'vitest';
import { RequestBudget } from '../../../relay/portal/request-budget.ts';

describe('a budget of requests', () => {
  it('counts each asker for himself, and tells when his window ends', () => {
    const budget = new RequestBudget();
    expect(budget.spend('a', 60_000).current).toBe(1);
    const second = budget.spend('a', 60_000);
    expect(second.current).toBe(2);
    expect(second.ttl).toBeLessThanOrEqual(60_000);
    expect(budget.spend('b', 60_000).current).toBe(1);
    expect(budget.child().spend('a', 60_000).current).toBe(1);
  });

  it('begins anew when the window is over', () => {
    const budget = new RequestBudget();
    budget.spend('a', 0);
    expect(budget.spend('a', 60_000).current).toBe(1);
  });

  it('remembers a bounded number of askers, and forgets the oldest', () => {
    const budget = new RequestBudget();
    budget.spend('first', 60_000);
    for (let asker = 0; asker < 5_000; asker += 1) budget.spend(`${asker}`, 60_000);
    expect(budget.spend('first', 60_000).current).toBe(1);
    expect(budget.spend('4999', 60_000).current).toBe(2);
  });
});
