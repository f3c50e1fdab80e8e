import { describe, expect, it } from 'vitest';
import { HiddenPrimary, settingOf } from '../world/hidden-primary.ts';
import { type Manner, OddSecondary } from '../world/odd-secondary.ts';
import { freePort } from '../world/public-name-server.ts';
import { plainDevice, vendorZone } from '../world/vendor-zone.ts';
import { until } from '../world/visits.ts';

/** As they are, only faster. */
const FAST = {
  answerMs: 300,
  retryMsMin: 20,
  retryMsMax: 200,
  compareSoonMs: 100,
  compareEveryMs: 300,
  behindMsMax: 400,
};

describe('a secondary', () => {
  it('is told at the start, and of a change within moments', async () => {
    await using secondary = await OddSecondary.start('well');
    await using primary = await serving([secondary]);
    await until(() => secondary.newest === 1, 2_000, 'the first NOTIFY');
    primary.source.apply([plainDevice('newcomer')]);
    const ms = await until(() => secondary.newest === 2, 2_000, 'the NOTIFY of the change');
    expect(ms).toBeLessThan(1_500);
    await until(() => stateOf(primary).acknowledgedSerial === 2, 2_000, 'the answer to count');
  });

  it('is told of a burst in a few NOTIFYs, one after the other, the newest last', async () => {
    await using secondary = await OddSecondary.start('well');
    await using primary = await serving([secondary]);
    await until(() => secondary.newest === 1, 2_000, 'the first NOTIFY');
    secondary.answerAfterMs = 100;
    for (let change = 0; change < 500; change += 1)
      primary.source.apply([plainDevice(`d${change}`)]);
    await until(() => secondary.newest === 501, 2_000, 'the newest serial');
    for (let change = 0; change < 500; change += 1)
      primary.source.apply([plainDevice(`e${change}`)]);
    await until(() => secondary.newest === 1001, 2_000, 'the newest serial');
    expect(secondary.inFlightMost).toBe(1);
    expect(secondary.told.length).toBeLessThan(6);
  });

  it('that does not answer is told again, ever more slowly, until it does', async () => {
    await using secondary = await OddSecondary.start('silent');
    await using primary = await serving([secondary], { ...FAST, answerMs: 50, retryMsMax: 5_000 });
    await until(() => secondary.told.length >= 4, 5_000, 'repetitions');
    expect(stateOf(primary).fault).toContain('no answer in time');
    expect(stateOf(primary).acknowledgedSerial).toBeUndefined();
    secondary.manner = 'well';
    primary.source.apply([plainDevice('newcomer')]);
    await until(() => stateOf(primary).acknowledgedSerial === 2, 2_000, 'the answer');
    expect(stateOf(primary).failures).toBe(0);
  });

  it('that was down hears of what it missed when it is back', async () => {
    const port = await freePort();
    await using primary = await HiddenPrimary.start(vendorZone(1), { notify: FAST });
    await primary.serve([settingOf('away', port)]);
    await until(() => stateOf(primary).failures > 2, 5_000, 'failures');
    expect(stateOf(primary).fault).toContain('ECONNREFUSED');
    primary.source.apply([plainDevice('newcomer')]);
    await using secondary = await OddSecondary.start('well', port);
    await until(() => stateOf(primary).acknowledgedSerial === 2, 2_000, 'the answer');
    expect(secondary.told).toEqual([2]);
    expect(stateOf(primary).fault).toBeUndefined();
  });

  it('that acknowledges and does not follow is told again, and said to be behind', async () => {
    await using secondary = await OddSecondary.start('stuck');
    await using primary = await serving([secondary]);
    await until(() => secondary.newest === 1, 2_000, 'the first NOTIFY');
    primary.source.apply([plainDevice('newcomer')]);
    await until(() => secondary.told.filter((each) => each === 2).length > 2, 5_000, 'repetitions');
    await until(() => stateOf(primary).behindMs > 400, 5_000, 'being behind');
    await until(
      () => primary.log.some((line) => line.includes('serves an older zone')),
      2_000,
      'log',
    );
    expect(stateOf(primary).servedSerial).toBe(1);
    secondary.manner = 'well';
    await until(() => stateOf(primary).behindMs === 0, 2_000, 'catching up');
    await until(
      () => primary.log.some((line) => line.includes('caught up')),
      2_000,
      'the log line',
    );
  });
});

describe('a secondary that misbehaves', () => {
  const manners: Manner[] = ['silent', 'garbage', 'unsigned', 'refusing', 'never-reading', 'stuck'];

  it.each(manners)('%s: another is told of every change at once', async (manner) => {
    await using odd = await OddSecondary.start(manner);
    await using good = await OddSecondary.start('well');
    await using primary = await serving([odd, good]);
    await until(() => good.newest === 1, 2_000, 'the first NOTIFY');
    for (let serial = 2; serial < 8; serial += 1) {
      primary.source.apply([plainDevice(`d${serial}`)]);
      const ms = await until(() => good.newest === serial, 2_000, 'the good one to be told');
      expect(ms).toBeLessThan(1_500);
    }
    const [state] = primary.notifier.states();
    if (manner === 'garbage' || manner === 'unsigned') {
      await until(() => stateOf(primary).failures > 0, 2_000, 'its answer not to count');
      expect(state?.acknowledgedSerial).toBeUndefined();
    }
    if (manner === 'refusing') expect(state?.fault).toContain('RCODE 5');
  });
});

async function serving(
  secondaries: readonly OddSecondary[],
  notify: typeof FAST = FAST,
): Promise<HiddenPrimary> {
  const primary = await HiddenPrimary.start(vendorZone(1), { notify });
  await primary.serve(secondaries.map(({ port }, index) => settingOf(`secondary-${index}`, port)));
  return primary;
}

function stateOf(primary: HiddenPrimary) {
  const [state] = primary.notifier.states();
  if (state === undefined) throw new Error('there is no secondary');
  return state;
}
