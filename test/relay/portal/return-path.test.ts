import { describe, expect, it } from 'vitest';
import { returnPath, signInPath } from '../../../relay/portal/return-path.ts';

describe('P-5 where one returns to after signing in', () => {
  it.each([
    ...['/', '/claim', '/claim?code=AB12-CD34', '/transfer', '/sessions', '/names/alice'],
    ...['/domains', '/domains/app.example.org', '/domains/app.example.org/remove?name=alice'],
  ])('is %s', (path) => {
    expect(returnPath(path)).toBe(path);
  });

  it.each([
    ...[
      '//evil.example',
      '/\\evil.example',
      '\\evil',
      'https:evil.example',
      'https://evil.example',
    ],
    ...[
      '//evil.example/names/alice',
      '/names/alice@evil.example',
      '/names//evil.example',
      '/domains//evil.example',
      '/domains/a.org?name=//evil.example',
      '/names/',
    ],
    ...[
      '/\tclaim',
      '/claim\n',
      '/claim\u0000',
      ' /claim',
      '/claim?code=',
      '/claim?code=a&to=//evil',
    ],
    ...[
      '/claim#x',
      '/claim?code=%2f',
      '/../claim',
      '/./',
      '/sign-out',
      '/v1/names',
      'javascript:1',
      '',
    ],
    undefined,
  ])('is not %j', (path) => {
    expect(returnPath(path)).toBe('/');
  });

  it('goes along through the sign-in page', () => {
    expect(signInPath('/')).toBe('/sign-in');
    expect(signInPath('/claim?code=A')).toBe('/sign-in?to=%2Fclaim%3Fcode%3DA');
  });
});
