// A person with Chromium, from the link that a device shows to another name for it: nothing that the
// browser complains about, and nothing that needs a script.
import { describe, expect, it } from 'vitest';
import { BROWSER_PROGRAMS, Browser, type Page } from '../../world/browser.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import { requires } from '../../world/requires.ts';

const need = requires(...BROWSER_PROGRAMS);
const WITHIN = { timeout: 20_000 };

describe.skipIf(need.skip)('a person with a browser', { timeout: 120_000 }, () => {
  it('claims a device and renames it, without scripts', async () => {
    await using stand = await PortalStand.open();
    const options = { noScript: true, here: '*.vendor.test' };
    await using browser = await Browser.open(stand.ca, options);
    const { page, wrongs } = await browser.tab();
    const device = await stand.claimant('living-room');
    const email = 'alice@example.org';

    await page.goto(`${stand.origin}/claim?code=${device.code}`, WITHIN);
    await seen(page, 'Sign in');
    await page.locator('#email').fill(email);
    await page.locator('button', { hasText: 'Send me a link' }).click();
    await seen(page, 'Look into your mail');
    const [link = ''] = await stand.signInLinks(email, 1);
    await page.goto(link, WITHIN);
    await page.locator('main button', { hasText: 'Sign in' }).click();

    await seen(page, 'Add a device');
    await page.locator('button', { hasText: 'Look at the device' }).click();
    await page.locator('code', { hasText: device.key.thumbprint }).waitFor(WITHIN);
    await page.locator('button', { hasText: 'Give it the name' }).click();
    await page.locator('.notice', { hasText: 'The device has its name now' }).waitFor(WITHIN);
    await page.locator('#to').fill('kitchen');
    await page.locator('button', { hasText: 'Rename' }).click();
    await page.locator('.notice', { hasText: 'Renamed' }).waitFor(WITHIN);
    await page.locator('nav a', { hasText: 'My names' }).click();
    await page.locator('.name', { hasText: 'living-room' }).waitFor(WITHIN);
    await page.locator('button', { hasText: 'Sign out' }).click();
    await seen(page, 'You are signed out');
    expect(wrongs).toEqual([]);
    expect(stand.registry.snapshot.namesOf(device.key.thumbprint)).toEqual(['kitchen']);
  });
});

async function seen(page: Page, title: string): Promise<void> {
  await page.locator('h1', { hasText: title }).waitFor(WITHIN);
}
