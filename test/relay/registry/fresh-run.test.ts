import { expect, test } from 'vitest';
import { FreshRun } from '../../../relay/registry/fresh-run.ts';

test('whoever asks gets a run that begins after the asking, and many share one', async () => {
  const runs: PromiseWithResolvers<void>[] = [];
  const fresh = new FreshRun(() => {
    const run = Promise.withResolvers<void>();
    runs.push(run);
    return run.promise;
  });
  const first = fresh.run();
  const [second, third] = [fresh.run(), fresh.run()];
  expect(runs).toHaveLength(1);
  runs[0]?.resolve();
  await first;
  await expect.poll(() => runs.length).toBe(2);
  const fourth = fresh.run();
  runs[1]?.reject(new Error('not this time'));
  await expect(second).rejects.toThrow('not this time');
  await expect(third).rejects.toThrow('not this time');
  await expect.poll(() => runs.length).toBe(3);
  runs[2]?.resolve();
  await fourth;
  const last = fresh.run();
  expect(runs).toHaveLength(4);
  runs[3]?.resolve();
  await last;
});
