// What all pages of the portal share: the frame, the one style sheet, and the policy that lets a page
// load nothing but that. No script anywhere; everything is a link or a form.
import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { type Content, type Html, html, styleElement } from './html.ts';
import { STYLE } from './page-style.ts';

export interface PageText {
  /** `My names` */
  readonly title: string;
  readonly content: Content;
  /** Who is signed in, as the head of the page says it; nobody: there is no menu. */
  readonly owner?: string | undefined;
  /** The entry of the menu that the page belongs to. */
  readonly place?: MenuPlace;
  /** The page looks again by itself after so long. */
  readonly again?: { readonly seconds: number; readonly path: string } | undefined;
}

export type MenuPlace = 'names' | 'domains' | 'claim' | 'transfer' | 'sessions';

const MENU: readonly { readonly place: MenuPlace; readonly href: string; readonly text: string }[] =
  [
    { place: 'names', href: '/', text: 'My names' },
    { place: 'domains', href: '/domains', text: 'My domains' },
    { place: 'claim', href: '/claim', text: 'Add a device' },
    { place: 'transfer', href: '/transfer', text: 'Take over a name' },
    { place: 'sessions', href: '/sessions', text: 'Sessions' },
  ];

/** Sends the page; the status is set by who calls. */
export function sendPage(reply: FastifyReply, text: PageText): FastifyReply {
  reply.header('content-type', 'text/html; charset=utf-8');
  reply.header('content-security-policy', POLICY);
  return reply.send(page(text, reply.request.hostname).markup);
}

/** `host`: so that a person sees where he signs in. */
function page({ title, content, owner, place, again }: PageText, host: string): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${again !== undefined && html`<meta http-equiv="refresh" content="${again.seconds}; url=${again.path}">`}
<title>${title}</title>
${STYLE_ELEMENT}
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header><span class="brand">${host}</span>${owner !== undefined && menu(owner, place)}</header>
<main id="main"${owner === undefined && NARROW}>
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`;
}

function menu(owner: string, place: MenuPlace | undefined): Html {
  return html`<nav aria-label="Portal"><ul>${MENU.map((entry) =>
    entry.place === place
      ? html`<li><a href="${entry.href}" aria-current="page">${entry.text}</a></li>`
      : html`<li><a href="${entry.href}">${entry.text}</a></li>`,
  )}</ul></nav>
<form method="post" action="/sign-out"><span class="owner">${owner}</span>
<button class="quiet">Sign out</button></form>`;
}

/** A button that is a form: the only thing that changes anything. */
export function action(
  path: string,
  label: string,
  how: {
    readonly kind?: 'danger' | 'quiet' | 'main';
    readonly fields?: Record<string, string>;
  } = {},
): Html {
  const fields = Object.entries(how.fields ?? {});
  return html`<form method="post" action="${path}">${fields.map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}<button class="${how.kind ?? 'main'}">${label}</button></form>`;
}

/** A box that says what has just happened; screen readers say it at once. */
export function notice(content: Content): Html {
  return html`<p class="notice" role="status">${content}</p>`;
}

/** A moment for people; programs read `datetime`. */
export function moment(atMs: number): Html {
  const iso = new Date(atMs).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

/** How long ago, in the largest unit that fits. */
export function ago(atMs: number, nowMs: number): string {
  const minutes = Math.floor((nowMs - atMs) / 60_000);
  if (minutes < 2) return 'just now';
  if (minutes < 120) return `${minutes} minutes ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} hours ago`;
  return `${Math.floor(hours / 24)} days ago`;
}

const NARROW = html` class="narrow"`;
const STYLE_ELEMENT = styleElement(STYLE);
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');
