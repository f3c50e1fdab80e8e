import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { dnsSchema } from '../../dns/config.ts';
import { DEFAULT_TRANSFER_LIMITS } from '../../dns/transfer-settings.ts';

describe('what deploy/dns/README.md says of dns.yaml', () => {
  const readme = readFileSync('deploy/dns/README.md', 'utf8');
  const block = /```yaml\n([^`]*)```/.exec(readme)?.[1] ?? '';

  it('is valid beside the rest of the file', () => {
    const whole = `${readFileSync('deploy/dns.yaml', 'utf8')}\n${block}`;
    const { transfers } = dnsSchema('/etc/waygate').parse(parse(whole));
    expect(transfers).toEqual({
      tsigKeys: [
        { name: 'ns1-key', algorithm: 'hmac-sha256', secretFile: '/etc/waygate/ns1.tsig' },
      ],
      secondaries: [
        { name: 'ns1', address: '198.51.100.1', port: 53, key: 'ns1-key', notify: true },
      ],
      transferLimits: DEFAULT_TRANSFER_LIMITS,
      notifyFrom: [],
    });
  });

  it('names settings that exist', () => {
    const secondary = { transferFrom: ['192.0.2.0/24'], signs: true };
    const file = parse(`${readFileSync('deploy/dns.yaml', 'utf8')}\n${block}`);
    Object.assign(file.secondaries[0], secondary);
    file.notifyFrom = ['192.0.2.1'];
    const { transfers } = dnsSchema('/etc/waygate').parse(file);
    expect(transfers.secondaries[0]).toMatchObject(secondary);
    expect(transfers.notifyFrom).toEqual(['192.0.2.1']);
    for (const word of ['transferFrom', 'signs: true', 'notifyFrom'])
      expect(readme).toContain(word);
  });
});
