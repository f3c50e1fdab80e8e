// A device at its first boot, whatever its clock says: it redeems its code and gets its certificate. Says
// on a line what it knows of the time then.
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { DeviceApi } from '../../device-client/api.ts';
import { DeviceCertificates } from '../../device-client/certificate.ts';
import { Clock } from '../../device-client/clock.ts';
import { parseDeviceName, parseHostname } from '../../dns/name.ts';
import { generateKey, parsePublicKey } from '../../relay/protocol/key.ts';

const [file = ''] = process.argv.slice(2);
const facts: Readonly<Record<string, string>> = JSON.parse(readFileSync(file, 'utf8'));
const { url = '', vendorKey = '', ca, address, code, directory = '' } = facts;
const vendor = parsePublicKey(vendorKey, 'vendor');
const [name, zone] = [parseDeviceName(facts['name'] ?? ''), parseHostname(facts['zone'] ?? '')];
const subject = parseHostname(`${name}.${zone}`);
if (vendor === undefined || name === undefined || zone === undefined || subject === undefined) {
  throw new Error('the file does not say what it should');
}
const clock = new Clock();
const api = new DeviceApi({
  relay: { url: new URL(url), vendorKey: vendor, ca, address },
  ...{ deviceKey: generateKey('device'), software: 'waygate/1.0.0', clock },
});
const machineMs = clock.now();
await api.ask('POST', '/v1/device/orders/redeem', { code });
const log = pino({ level: 'warn' }, pino.destination(2));
const certificates = new DeviceCertificates({ directory, clock, log, api: () => api });
await certificates.start();
const here = new Promise<void>((resolve) => certificates.onChange(() => resolve()));
certificates.told({ names: [name], zone });
await here;
const { notAfterMs } = (await certificates.load(subject)) ?? {};
await certificates.stop();
process.stdout.write(`${JSON.stringify({ machineMs, nowMs: clock.now(), notAfterMs })}\n`);
