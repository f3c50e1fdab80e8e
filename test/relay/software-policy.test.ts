import { describe, expect, it } from 'vitest';
import {
  closeWords,
  judgeSoftware,
  minimumVersionFault,
  refusedVersionFault,
  updateUrlFault,
} from '../../relay/software-policy.ts';

const updateUrl = 'https://vendor.dev/update';

describe('the policy for device software', () => {
  it.each([
    ['waygate/1.2.0', true],
    ['waygate/1.10.0', true],
    ['waygate/2.0.0-rc.1', true],
    ['waygate/1.1.9', false],
    ['waygate/1.2.0-rc.1', false],
    ['waygate/0.1.0', false],
    ['waygate/dev', false],
    ['waygate/', false],
    ['waygate', false],
    // Not ours: the policy says nothing of it.
    ['acme/1.0', true],
    ['acme/0.0.1', true],
    ['waygate-fork/0.1.0', true],
  ])('with a minimum of 1.2.0: %s', (software, admitted) => {
    const refusal = judgeSoftware(software, { minimumVersion: '1.2.0', updateUrl });
    expect(refusal === undefined).toBe(admitted);
  });

  it.each([
    ['waygate/0.9.1', false],
    ['waygate/0.9.2', true],
    ['waygate/1.0.3', false],
    ['waygate/1.0.5-beta.1', false],
    ['waygate/1.0.5', true],
    ['waygate/dev', true],
    ['acme/0.9.1', false],
    ['acme/1.9', false],
    ['acme/1', false],
    ['acme/2.0', true],
    ['acme/x', true],
  ])('with some versions refused: %s', (software, admitted) => {
    const refused = ['0.9.1', '>=1.0.0 <1.0.5', 'acme/<2.0.0'];
    expect(judgeSoftware(software, { refused }) === undefined).toBe(admitted);
  });

  it('admits everything when it says nothing', () => {
    for (const software of ['waygate/0.0.1', 'x', '/', 'acme/1']) {
      expect(judgeSoftware(software, {})).toBeUndefined();
    }
  });

  it('tells what was found, what is needed, and where to get it', () => {
    const policy = { minimumVersion: '1.2.0', refused: ['1.3.0'], updateUrl };
    const old = { found: '1.1.0', needed: '1.2.0', updateUrl };
    expect(judgeSoftware('waygate/1.1.0', policy)).toEqual(old);
    expect(closeWords(old)).toBe('have 1.1.0 need 1.2.0 https://vendor.dev/update');
    const bad = { found: '1.3.0', needed: undefined, updateUrl };
    expect(judgeSoftware('waygate/1.3.0', policy)).toEqual(bad);
    expect(closeWords(bad)).toBe('have 1.3.0 need another https://vendor.dev/update');
  });

  it('always fits into a close frame', () => {
    const longest = `https://${'x'.repeat(56)}`;
    expect(updateUrlFault(longest)).toBeUndefined();
    const minimumVersion = '10.20.30-rc.11';
    expect(minimumVersionFault(minimumVersion)).toBeUndefined();
    const policy = { minimumVersion, updateUrl: longest };
    const refusal = judgeSoftware(`waygate/${'9'.repeat(56)}`, policy);
    const words = refusal === undefined ? '' : closeWords(refusal);
    expect(Buffer.byteLength(`ERR_HELLO_SOFTWARE ${words}`)).toBeLessThanOrEqual(123);
    expect(words).toContain(longest);
  });

  it('takes only what it can keep to', () => {
    for (const text of ['1.2', 'v1.2.0', '>=1.2.0', '', 'latest', '1.2.0 ', '10.20.30-rc.1.2']) {
      expect([text, minimumVersionFault(text)]).toEqual([text, expect.any(String)]);
    }
    for (const text of ['', 'acme/', 'latest', '1.x.y.z', `1.0.0${' '.repeat(200)}`]) {
      expect([text, refusedVersionFault(text)]).toEqual([text, expect.any(String)]);
    }
    for (const text of ['http://a.b', 'https://', 'https://a b', `https://${'x'.repeat(57)}`, '']) {
      expect([text, updateUrlFault(text)]).toEqual([text, expect.any(String)]);
    }
    expect(refusedVersionFault('acme/1.x')).toBeUndefined();
  });
});
