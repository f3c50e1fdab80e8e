// A whole relay that is killed with -9 while the mail server is away, after it has acknowledged a
// recovery: the relay that comes after it sends the letter with the veto, and the delay begins with it.
import { expect, onTestFinished, test } from 'vitest';
import { generateKey } from '../../relay/protocol/key.ts';
import { approveClaim } from '../../relay/registry/deeds/approve-claim.ts';
import { openClaim } from '../../relay/registry/deeds/claim.ts';
import { startSession } from '../../relay/registry/portal-token.ts';
import type { Registry } from '../../relay/registry/registry.ts';
import { MAIL_ISSUER, signIn } from '../../relay/registry/sign-in.ts';
import { deviceName } from '../relay/registry/fixture.ts';
import { freePort } from '../world/free-port.ts';
import { Installation } from '../world/installation.ts';
import { PortalVisitor } from '../world/portal-visitor.ts';
import { Postbox } from '../world/postbox.ts';
import { until } from '../world/visits.ts';

const ANN = 'ann@example.org';
const FROM = '203.0.113.7';
/** The second attempt comes after fifteen seconds, and is found within five. */
const LETTER_WITHIN_MS = 60_000;

interface Shown {
  readonly dueAt: string;
  readonly waitsForMail: boolean;
}

/** An owner with a device, a session of his, and the code that another device shows. */
async function owner(registry: Registry): Promise<{ session: string; code: string }> {
  const nowMs = Date.now();
  const identity = { issuer: MAIL_ISSUER, subject: ANN, emailVerified: true, nowMs };
  const { id: ownerId } = await registry.write(signIn(identity));
  const claim = async () => {
    const deviceKey = generateKey('device').publicKey;
    const wanted = { deviceKey, software: 'waygate/1.2.3', address: FROM };
    return (await registry.perform(openClaim(wanted))).code;
  };
  const approval = { ownerId, from: FROM, name: deviceName('home-box') };
  await registry.perform(approveClaim({ ...approval, code: await claim() }));
  const session = await registry.write(startSession({ ownerId, nowMs }));
  return { session, code: await claim() };
}

test('the letter with the veto arrives after the relay was killed', async () => {
  const smtpPort = await freePort();
  const smtp = `{ host: 127.0.0.1, port: ${smtpPort}, from: names@vendor.test }`;
  await using vendor = await Installation.make({ more: `portal: { mail: { smtp: ${smtp} } }\n` });
  const relay = await vendor.relay();
  const { session, code } = await vendor.withRegistry(owner);
  const ann = new PortalVisitor(`https://my.${vendor.zone}:${vendor.port}`, vendor);
  ann.cookies.set('__Host-waygate', session);
  const asked = await ann.api('POST', '/v1/claims/approve', { code, name: 'home-box' });
  expect(asked.json()).toMatchObject({ state: 'recovering', name: 'home-box' });
  const tried = () => relay.text.includes('not delivered yet');
  await until(tried, LETTER_WITHIN_MS, 'the first attempt');
  const recovery = async () => {
    const [shown] = (await ann.api('GET', '/v1/recoveries')).json()['recoveries'] as [Shown];
    return { ...shown, dueMs: Date.parse(shown.dueAt) };
  };
  const before = await recovery();
  expect(before.waitsForMail).toBe(true);
  expect(await relay.end('SIGKILL')).toBe('SIGKILL');
  const box = new Postbox();
  onTestFinished(() => box[Symbol.asyncDispose]());
  await box.listen(smtpPort);
  await vendor.relay();
  const arrived = () => box.letters.length > 0;
  await until(arrived, LETTER_WITHIN_MS, 'the letter');
  const isNoted = async () => !(await recovery()).waitsForMail;
  await until(isNoted, LETTER_WITHIN_MS, 'its delay to begin');
  expect((await recovery()).dueMs).toBeGreaterThan(before.dueMs);
  expect(box.letters).toMatchObject([
    { to: ANN, text: expect.stringMatching(/home-box is about to move.*\/names\/home-box/s) },
  ]);
}, 180_000);
