// Where somebody wanted to go before he had to sign in. It travels through links that others can make,
// so only pages of the portal itself are led to, and everything else leads to the first page.

const PAGES = [
  /^\/$/,
  /^\/claim(\?code=[0-9A-Za-z-]{1,48})?$/,
  /^\/transfer$/,
  /^\/sessions$/,
  /^\/domains$/,
  /^\/domains\/[a-z0-9.-]{3,253}(\/remove)?(\?name=[a-z0-9-]{3,32})?$/,
  /^\/names\/[a-z0-9-]{3,32}$/,
];

export function returnPath(text: string | undefined): string {
  return text !== undefined && PAGES.some((page) => page.test(text)) ? text : '/';
}

/** The page for signing in that comes back to this one. */
export function signInPath(to: string): string {
  return to === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(to)}`;
}
