// A person with Chromium and a domain of his own: from the form to live. The values can be taken with one
// click, everything fits on a narrow screen, and nothing needs a script.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerRelay } from '../../../relay/registry/deeds/relay-alive.ts';
import { BROWSER_PROGRAMS, Browser } from '../../world/browser.ts';
import { OrgDomains } from '../../world/org-domains.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import { requires } from '../../world/requires.ts';

const need = requires(...BROWSER_PROGRAMS);
const WITHIN = { timeout: 20_000 };
const EMAIL = 'alice@example.com';

let org: OrgDomains;
let stand: PortalStand;

beforeAll(async () => {
  org = await OrgDomains.open();
  stand = await PortalStand.open({}, org);
  await stand.registry.perform(registerRelay({ id: 'here', addresses: ['127.0.0.1'] }));
  const alice = await stand.signedIn(EMAIL);
  const { code } = await stand.claimant();
  await alice.api('POST', '/v1/claims/approve', { code, name: 'alices-box' });
});
afterAll(async () => {
  await stand[Symbol.asyncDispose]();
  await org[Symbol.asyncDispose]();
});

describe.skipIf(need.skip)('a person with a browser', { timeout: 120_000 }, () => {
  it('adds a domain, takes over what to enter, and sees it live', async () => {
    await using browser = await Browser.open(stand.ca, { here: '*.vendor.test', noScript: true });
    const { page, wrongs } = await browser.tab();
    const seen = (selector: string, hasText: string) =>
      page.locator(selector, { hasText }).first().waitFor(WITHIN);
    const press = (text: string) => page.locator('main button', { hasText: text }).click();
    await page.setViewportSize({ width: 320, height: 700 });
    /** Nothing is wider than the screen. */
    const fits = async () => {
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    };

    await page.goto(`${stand.origin}/domains`, WITHIN);
    await page.locator('#email').fill(EMAIL);
    await press('Send me a link');
    await seen('h1', 'Look into your mail');
    await page.goto((await stand.signInLinks(EMAIL, 1))[0] ?? '', WITHIN);
    await press('Sign in');
    await seen('nav', '');
    await page.goto(`${stand.origin}/domains`, WITHIN);
    await fits();
    await page.locator('#domain').fill('https://cafe.org/');
    await page.locator('#workspace').fill('code');
    await press('Add the domain');
    await seen('[role=alert]', 'without https:// and without a path');
    wrongs.length = 0;
    await page.locator('#domain').fill('cafe.org');
    await press('Add the domain');
    await seen('h1', 'cafe.org');
    await fits();

    const values: string[] = [];
    for (const at of [0, 1, 2, 3]) {
      await page.evaluate(`getSelection().empty()`);
      await page.locator('code.take', { hasText: /\S/ }).nth(at).click();
      values.push(String(await page.evaluate('getSelection().toString()')).trim());
    }
    // At the top of a domain there is no CNAME.
    const [owner = '', proof = '', apex = '', address = ''] = values;
    expect([owner, apex, address]).toEqual(['_waygate.cafe.org', 'cafe.org', '127.0.0.1']);
    await seen('dd', 'an ALIAS to');
    org.enter('cafe.org', [
      [owner, 'TXT', proof],
      [apex, 'A', address],
    ]);
    await press('Check now');
    await seen('.notice', 'Checked.');
    await seen('li .good', 'done');
    await org.certify('cafe.org');
    await press('Check now');
    await seen('h2', 'It works');
    await seen('main a', `https://cafe.org:${stand.port}/`);
    await fits();

    await page.locator('main a', { hasText: 'Remove this domain' }).click();
    await page.locator('#confirm').fill('cafe.org');
    await press('Remove cafe.org');
    await seen('.notice', 'Removed.');
    expect(wrongs).toEqual([]);
    expect((await stand.state()) as object).toMatchObject({ domains: [] });
  });
});
