// The pages on which a person meets a device: types its code, sees what it is, and gives it a name; and
// on which somebody takes over a name that he was offered.
import type { Claim } from '../registry/deeds/claim.ts';
import { type Content, html } from './html.ts';
import { durationText } from './letters.ts';
import type { OwnName } from './name-view.ts';
import { action, ago, moment, notice } from './page.ts';
import type { Problem } from './problem.ts';

/** `code`: from the link that the device shows. It is only looked at when the person says so. */
export function codeContent(code: string, refused?: Problem): Content {
  return [
    refusedNotice(refused),
    html`<section>
<p>The device shows a code: <code>waygate device claim</code> prints it, with a link and a QR code.</p>
<form method="post" action="/claim">
<label for="code">Code</label>
<input type="text" id="code" name="code" value="${code}" required maxlength="48" autocomplete="off"
 autocapitalize="characters" spellcheck="false" autofocus>
<button>Look at the device</button></form></section>`,
  ];
}

export interface ClaimView {
  readonly code: string;
  readonly names: readonly OwnName[];
  readonly zone: string;
  readonly nowMs: number;
  /** How long a name takes to move to another device. */
  readonly recoveryDelayMs: number;
  readonly refused?: Problem;
}

export function claimContent(claim: Claim, view: ClaimView): Content {
  const { code, nowMs } = view;
  return [
    refusedNotice(view.refused),
    html`<section><h2>Is this your device?</h2>
<dl><dt>Device key</dt><dd><code>${claim.thumbprint}</code></dd>
<dt>Runs</dt><dd>${claim.software ?? 'unknown'}</dd>
<dt>Asks from</dt><dd>${claim.address}</dd>
<dt>Asked</dt><dd>${ago(claim.openedAtMs, nowMs)}; the code works until ${moment(claim.expiresAtMs)}</dd>
</dl>
<p class="soft">Compare the key with the one that the device shows. Whoever has the device can serve
anything under the name.</p></section>`,
    nameForm(claim, view),
    html`<section><h2>Not your device?</h2>
${action('/claim/deny', 'Send it away', { kind: 'danger', fields: { code } })}</section>`,
  ];
}

function nameForm(claim: Claim, { code, names, zone, recoveryDelayMs, nowMs }: ClaimView): Content {
  const held = names.filter(
    ({ state, thumbprint }) => state === 'held' && thumbprint !== claim.thumbprint,
  );
  const ordered = names.filter(({ state }) => state === 'ordered');
  return html`<section><h2>Which name does it get?</h2>
<form method="post" action="/claim/approve">
<input type="hidden" name="code" value="${code}">
${
  held.length + ordered.length > 0 &&
  html`<fieldset><legend>Name</legend>
<label class="choice"><input type="radio" name="choice" value="" checked> A new name, as typed below</label>
${ordered.map(({ name }) => choice(name, 'ordered for you'))}
${held.map((own) => choice(own.name, lastSeen(own, nowMs)))}
</fieldset>`
}
<label for="name">New name</label>
<p class="hint" id="name-hint">3 to 32 letters a-z, digits and hyphens, in front of .${zone}</p>
<input type="text" id="name" name="name" value="${claim.wantedName ?? ''}" maxlength="64"
 autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="name-hint">
${
  held.length > 0 &&
  html`<p class="hint">A name that another of your devices has moves to this one after
${durationText(recoveryDelayMs)}, not before ${moment(nowMs + recoveryDelayMs)}; where letters
are sent, that time begins when the letter about it was. Until then the other device serves, is told, and
can object; so can you.</p>`
}
<button>Give it the name</button></form></section>`;
}

function choice(name: string, note: string): Content {
  return html`<label class="choice"><input type="radio" name="choice" value="${name}">
<span>${name} <span class="soft">(${note})</span></span></label>`;
}

function lastSeen({ lastSeenAtMs }: OwnName, nowMs: number): string {
  const seen = lastSeenAtMs === undefined ? 'never seen' : `seen ${ago(lastSeenAtMs, nowMs)}`;
  return `on another device, ${seen}`;
}

export function transferContent(refused?: Problem): Content {
  return [
    refusedNotice(refused),
    html`<section>
<p>Somebody offers you a name: then you got a code by mail, at the address that you sign in with.</p>
<form method="post" action="/transfer">
<label for="code">Code</label>
<input type="text" id="code" name="code" required maxlength="48" autocomplete="off"
 autocapitalize="characters" spellcheck="false" autofocus>
<button>Take the name over</button></form></section>`,
  ];
}

function refusedNotice(refused: Problem | undefined): Content {
  if (refused === undefined) return undefined;
  return html`<p class="notice bad" role="alert">${refused.detail} ${refused.next}</p>`;
}

/** An offer was made: the only time that its code is shown. */
export function offeredContent(offer: {
  readonly name: string;
  readonly toEmail: string;
  readonly code: string;
  readonly expiresAtMs: number;
}): Content {
  return [
    notice(html`${offer.name} is offered to ${offer.toEmail}.`),
    html`<section><p>They accept with this code, which is sent to them by mail:</p>
<p class="name"><code>${offer.code}</code></p>
<p class="soft">It works until ${moment(offer.expiresAtMs)}, for the owner of that address only. It is
not shown again.</p>
<p><a href="/names/${offer.name}">Back to ${offer.name}</a></p></section>`,
  ];
}
