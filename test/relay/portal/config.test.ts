import { describe, expect, it } from 'vitest';
import { relaySchema } from '../../../relay/config.ts';

function parse(portal: unknown) {
  return relaySchema('/etc/waygate').safeParse({ zone: 'vendor.dev', state: 'state', portal });
}

const OIDC = {
  name: 'company',
  issuer: 'https://id.example.com',
  clientId: 'waygate',
  clientSecretFile: 'oidc.secret',
};
const SMTP = { host: 'mail.example.com', from: 'Names <names@vendor.dev>' };

describe('the portal in relay.yaml', () => {
  it('has defaults, and paths from the folder of the file', () => {
    expect(parse(undefined).data?.portal).toEqual({ oidc: [] });
    const certificateFiles = { certificate: 'my.pem', key: '/keys/my.key' };
    const portal = { host: 'My.Vendor.COM', certificateFiles, oidc: [OIDC], mail: { smtp: SMTP } };
    expect(parse(portal).data?.portal).toEqual({
      host: 'my.vendor.com',
      certificateFiles: { certificate: '/etc/waygate/my.pem', key: '/keys/my.key' },
      oidc: [{ ...OIDC, clientSecretFile: '/etc/waygate/oidc.secret', trustEmail: false }],
      mail: { smtp: { ...SMTP, port: 587, secure: false } },
    });
    expect(parse({ host: 'names.vendor.dev' }).success).toBe(false);
    expect(parse({ host: 'my.vendor.dev' }).success).toBe(true);
    expect(parse({ oidc: [{ ...OIDC, issuer: 'http://127.0.0.1:4444' }] }).success).toBe(true);
  });

  it.each([
    [{ host: 'a b' }, 'portal.host: must be a hostname'],
    [{ host: 'my.vendor.com' }, 'portal.host: lies outside the zone vendor.dev'],
    [{ host: 'alice.vendor.dev' }, 'portal.host: must be one label that no device can have'],
    [{ host: 'my.alice.vendor.dev' }, 'portal.host: must be one label that no device can have'],
    [{ mail: {} }, 'portal.mail: must have either "print: true" or "smtp"'],
    [{ mail: { print: true, smtp: SMTP } }, 'portal.mail: must have either'],
    [{ mail: { smtp: { ...SMTP, user: 'u' } } }, 'portal.mail.smtp: must have both user and'],
    [
      { mail: { smtp: { ...SMTP, from: 'nobody' } } },
      'portal.mail.smtp.from: must be a mail address',
    ],
    [
      { oidc: [{ ...OIDC, issuer: 'http://id.example.com' }] },
      'portal.oidc.0.issuer: must be the https',
    ],
    [{ oidc: [{ ...OIDC, name: 'My Company' }] }, 'portal.oidc.0.name: must have 1 to 32'],
    [{ oidc: [OIDC, OIDC] }, 'portal.oidc: must not have two providers with the same name'],
    [{ publicPort: 0 }, 'portal.publicPort: Too small'],
  ])('refuses %j', (portal, fault) => {
    const found = parse(portal).error?.issues.map(
      (each) => `${each.path.join('.')}: ${each.message}`,
    );
    expect(found).toHaveLength(1);
    expect(found?.[0]).toContain(fault);
  });
});
