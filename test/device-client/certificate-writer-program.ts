// What a device writes when a certificate comes: a key for another name, the pair whose chain has come,
// and its note. The one who started it kills it in the middle.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CertificateFiles, namesFor } from '../../device-client/certificate-files.ts';
import { parseDeviceName, parseHostname } from '../../dns/name.ts';

const [folder = ''] = process.argv.slice(2);
const [alice, bob] = [parseDeviceName('alice'), parseDeviceName('bob')];
const [ofAlice, ofBob] = [parseHostname('alice.vendor.test'), parseHostname('bob.vendor.test')];
if (alice === undefined || bob === undefined) throw new Error('unreachable');
if (ofAlice === undefined || ofBob === undefined) throw new Error('unreachable');

const files = await CertificateFiles.open(join(folder, 'certificates'), () => undefined);
const pending = await files.pending(alice, namesFor(ofAlice));
if (pending === undefined) throw new Error('there is no pending key');
await files.makePending(bob, namesFor(ofBob));
await files.keep(alice, pending, readFileSync(join(folder, 'chain.pem'), 'utf8'));
await files.writeNote(alice, { renewAt: '2027-01-01T00:00:00.000Z' });
