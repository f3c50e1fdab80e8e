import { afterEach, describe, expect, it } from 'vitest';
import { encodeFrame, FRAME } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { RawTunnel } from '../../world/raw-tunnel.ts';

let raw: RawTunnel;
afterEach(() => raw.stop());

const news = (text: string): Buffer => encodeFrame(FRAME.news, 0, Buffer.from(text));

describe('news', () => {
  it('reach a device as they are, between the frames of its streams, which go on', () => {
    raw = new RawTunnel('device');
    const stream = raw.open(1);
    raw.say(encodeFrame(FRAME.data, 1, Buffer.from('one ')), news('{"epoch":1}'));
    raw.say(encodeFrame(FRAME.data, 1, Buffer.from('two')));
    expect([raw.news, stream.text, raw.closed]).toEqual([['{"epoch":1}'], 'one two', undefined]);
  });

  it('leave a relay as a frame of the whole tunnel, and not after its end', async () => {
    raw = new RawTunnel('relay');
    raw.session.tell(Buffer.from('{}'));
    raw.stop();
    raw.session.tell(Buffer.from('{}'));
    expect(await raw.heard(FRAME.news)).toEqual([
      { type: FRAME.news, streamId: 0, payload: Buffer.from('{}') },
    ]);
  });

  it('are not for a relay: close 1002', () => {
    raw = new RawTunnel('relay');
    raw.say(news('{}'));
    expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
  });

  it('belong to no stream: close 1002', () => {
    raw = new RawTunnel('device');
    raw.open(1);
    raw.say(encodeFrame(FRAME.news, 1, Buffer.from('{}')));
    expect([raw.closed?.code, raw.news]).toEqual([CLOSE.protocol, []]);
  });

  it('in a flood end the tunnel: close 1008', () => {
    raw = new RawTunnel('device');
    for (let times = 0; times < LIMITS.newsPerMinuteMax; times += 1) raw.say(news('{}'));
    expect(raw.closed).toBeUndefined();
    raw.say(news('{}'));
    expect(raw.closed).toEqual({ code: CLOSE.policy, reason: 'flood: too much news' });
    expect(raw.news).toHaveLength(LIMITS.newsPerMinuteMax);
  });

  it('that a listener throws at cost nothing but a line in the log', () => {
    const fault = new Error('a listener');
    raw = new RawTunnel('device', {
      news: () => {
        throw fault;
      },
    });
    raw.say(news('{}'));
    expect([raw.faults, raw.closed]).toEqual([[fault], undefined]);
    expect(raw.open(1).reason).toBeUndefined();
  });

  it('may be sent twice as fast as a relay sends them', () => {
    raw = new RawTunnel('device');
    expect(60_000 / LIMITS.newsEveryMs).toBeLessThanOrEqual(LIMITS.newsPerMinuteMax / 2);
  });
});
