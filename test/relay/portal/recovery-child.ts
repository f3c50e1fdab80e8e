// Another relay, which is told on its standard input, as JSON, where the registry and the mail server are:
// an owner confirms a new device for a name of his, and the letter about it is on its way. It says when the
// recovery was acknowledged, and goes on until it is killed.
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { parseDeviceName, parseHostname } from '../../../dns/name.ts';
import { openMail } from '../../../relay/portal/mail.ts';
import { OwnerDeeds } from '../../../relay/portal/owner-deeds.ts';
import { OwnerNotices } from '../../../relay/portal/owner-notices.ts';
import { Post } from '../../../relay/portal/post.ts';
import { generateKey } from '../../../relay/protocol/key.ts';
import { openClaim } from '../../../relay/registry/deeds/claim.ts';
import { openRegistry } from '../../../relay/registry/registry.ts';
import { signIn } from '../../../relay/registry/sign-in.ts';

const { place, smtpPort, email } = JSON.parse(await text(process.stdin));
const log = pino({ level: 'silent' });
const hostname = parseHostname('my.vendor.test');
const name = parseDeviceName('home-box');
if (hostname === undefined || name === undefined) throw new Error('no name');
const registry = await openRegistry({ database: place, log });
const smtp = { host: '127.0.0.1', port: smtpPort, secure: false, from: 'names@vendor.test' };
const deliver = await openMail({ config: { smtp }, hostname, log });
if (deliver === undefined) throw new Error('no mail');
const clockMs = Date.now;
const post = new Post({ registry, deliver, clockMs, log });
const sender = () => ({ origin: `https://${hostname}`, zone: 'vendor.test' });
const notices = new OwnerNotices({ sender, post, clockMs, log });
const deeds = new OwnerDeeds({ registry, notices, sender, send: () => undefined });
post.start();
// A relay listens, which keeps it alive.
setInterval(() => undefined, 60_000);
const identity = { issuer: 'mailto', subject: email, emailVerified: true };
const { id: ownerId } = await registry.write(signIn({ ...identity, nowMs: clockMs() }));
const [address, software] = ['203.0.113.7', 'waygate/1.2.3'];
for (const each of ['the first', 'the second']) {
  const deviceKey = generateKey('device').publicKey;
  const { code } = await registry.perform(openClaim({ deviceKey, software, address }));
  const { kind } = await deeds.approve({ ownerId, from: address }, code, name);
  process.stdout.write(`${each}: ${kind}\n`);
}
