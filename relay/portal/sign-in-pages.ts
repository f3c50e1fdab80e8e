// What the pages for signing in and out say.
import type { FastifyReply } from 'fastify';
import { type Html, html } from './html.ts';
import { sendPage } from './page.ts';

export function sendSignInPage(
  reply: FastifyReply,
  ways: { readonly to: string; readonly mail: boolean; readonly providers: readonly string[] },
): FastifyReply {
  const { to, mail, providers } = ways;
  const none = !mail && providers.length === 0;
  return sendPage(reply, {
    title: 'Sign in',
    content: [
      providers.length > 0 && providerLinks(providers, to),
      mail && mailForm(to),
      none &&
        html`<section class="problem"><p>Nobody can sign in here yet: no way to do so is set up.</p>
<p class="soft">Whoever runs this relay adds <code>portal.mail</code> or <code>portal.oidc</code> to
its configuration.</p></section>`,
    ],
  });
}

function providerLinks(providers: readonly string[], to: string): Html {
  return html`<section><h2>With an account that you have</h2><div class="actions">${providers.map(
    (name) =>
      html`<a class="button" href="/sign-in/with/${name}?to=${encodeURIComponent(to)}">${capital(name)}</a>`,
  )}</div></section>`;
}

function mailForm(to: string): Html {
  return html`<section><h2>By mail</h2>
<form method="post" action="/sign-in/mail">
<input type="hidden" name="to" value="${to}">
<label for="email">Your mail address</label>
<p class="hint" id="email-hint">You get a link that signs you in. There is no password.</p>
<input type="email" id="email" name="email" required maxlength="254" autocomplete="email"
 aria-describedby="email-hint" autofocus>
<button>Send me a link</button>
</form></section>`;
}

/** The same for every address. */
export function sendSentPage(reply: FastifyReply): FastifyReply {
  return sendPage(reply, {
    title: 'Look into your mail',
    content: html`<section>
<p>A link is on its way to the address that you gave. It works once, within 15 minutes.</p>
<p class="soft">Nothing there after some minutes? Look into the folder for spam, or
<a href="/sign-in">begin again</a>.</p>
</section>`,
  });
}

export function sendConfirmPage(
  reply: FastifyReply,
  link: { readonly address: string; readonly token: string; readonly to: string },
): FastifyReply {
  return sendPage(reply, {
    title: 'Sign in',
    content: html`<section>
<p>You are about to sign in as</p>
<p class="name">${link.address}</p>
<form method="post" action="/sign-in/link">
<input type="hidden" name="token" value="${link.token}">
<input type="hidden" name="to" value="${link.to}">
<button autofocus>Sign in</button>
</form>
<p class="soft">Is that not your address? Then close this page.</p>
</section>`,
  });
}

export function sendSignedOutPage(
  reply: FastifyReply,
  elsewhere: readonly { readonly name: string; readonly href: string }[],
): FastifyReply {
  return sendPage(reply, {
    title: 'You are signed out',
    content: html`<section>
<p><a class="button" href="/sign-in">Sign in again</a></p>
${
  elsewhere.length > 0 &&
  html`<p class="soft">If others use this computer, sign out there as well:</p>
<ul>${elsewhere.map(({ name, href }) => html`<li><a href="${href}">${capital(name)}</a></li>`)}</ul>`
}
</section>`,
  });
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
