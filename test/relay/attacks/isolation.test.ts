// Two visitors of one workspace never see each other's bytes, and neither completes what the other has
// begun, whenever one of them, or the workspace, breaks off.
import { describe, expect, it } from 'vitest';
import { breakOff } from './broken-visits.ts';
import { RawVisitor } from './raw-visitor.ts';
import { get } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
/** The long suite has many more. */
const ROUNDS = 250;

describe('visitors of one workspace', { timeout: 120_000 }, () => {
  it(`F-22 see their own bytes only, in ${ROUNDS} rounds of broken connections`, async () => {
    await breakOff(vendor(), { seed: 2_222, rounds: ROUNDS });
  });

  it.each([
    ['within its body', 'POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\nhalf'],
    [
      'within a chunk',
      'POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf',
    ],
    [
      'before its last chunk',
      'POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    ],
  ])('H1-2 a request that breaks off %s is completed by nobody', async (_, half) => {
    const { workspace, hostname } = vendor();
    const one = await RawVisitor.dial(vendor());
    one.say(half.replace('HOST', hostname));
    const arrived = () => workspace.requestsOf(one.address)[0]?.body === 'half';
    await workspace.watch.until(arrived, 'half a body');
    one.socket.destroy();
    const [link] = workspace.of(one.address);
    await workspace.watch.until(() => link?.closed === true, 'the end of his link');
    expect([link?.broken, link?.requests[0]?.whole]).toEqual([true, false]);
    using other = await RawVisitor.dial(vendor());
    other.say(get('/other'));
    expect((await other.answer()).status).toBe(204);
    expect(workspace.of(other.address).length).toBe(1);
    expect(workspace.of(one.address)[0]?.text).not.toContain('/other');
  });

  it('H1-2 half a head reaches nothing', async () => {
    const before = await vendor().streamsOpened();
    const one = await RawVisitor.dial(vendor());
    one.say(get('/half').slice(0, -2));
    one.socket.end();
    await one.over();
    using other = await RawVisitor.dial(vendor());
    other.say(get('/other'));
    await other.answer();
    expect(one.text).toBe('');
    expect((await vendor().streamsOpened()) - before).toBe(1);
  });
});
