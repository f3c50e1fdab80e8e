// What a look at one thing says: as it should be, asked and not so, or not to be found out now.

export type Verdict = 'right' | 'wrong' | 'unknown';

/** Of two things that must both be right. */
export function both(one: Verdict, other: Verdict): Verdict {
  if (one === 'wrong' || other === 'wrong') return 'wrong';
  return one === 'right' && other === 'right' ? 'right' : 'unknown';
}
