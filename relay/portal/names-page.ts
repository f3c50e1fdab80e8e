// The pages that show names: all of an owner's, and one of them with everything he can do with it.
import type { ListedDeed, ListedRecovery } from '../registry/listings.ts';
import type { HistoryWord } from '../registry/schema.ts';
import { whoDid } from './api-names.ts';
import { type Content, type Html, html } from './html.ts';
import type { OwnName } from './name-view.ts';
import { action, ago, moment } from './page.ts';

export interface NamesView {
  readonly zone: string;
  readonly nowMs: number;
  /** Where a name is served. */
  readonly urlOf: (name: string) => string;
}

export function namesContent(names: readonly OwnName[], view: NamesView): Content {
  if (names.length === 0) {
    return html`<section>
<p>You have no names yet.</p>
<p>A device that wants one shows a code (<code>waygate device claim</code>).
Type it in, and choose a name for the device.</p>
<p><a class="button" href="/claim">Add a device</a></p>
</section>`;
  }
  return [
    names.flatMap((own) => (own.recovery === undefined ? [] : [recoveryAlarm(own)])),
    html`<ul class="cards">${names.map((own) => nameCard(own, view))}</ul>
<p><a class="button" href="/claim">Add a device</a></p>`,
  ];
}

function nameCard(own: OwnName, { zone, nowMs }: NamesView): Html {
  const { name } = own;
  return html`<li class="card"><div class="row">
<div><a class="name" href="/names/${name}">${name}</a><span class="soft">.${zone}</span></div>${stateBadge(own, nowMs)}</div>
<p class="soft">${stateSentence(own, nowMs)}</p></li>`;
}

/** Devices that are connected are noted every half minute. */
const ONLINE_MS = 90_000;

function stateBadge({ state, lastSeenAtMs, recovery, revoked }: OwnName, nowMs: number): Html {
  if (recovery !== undefined) return html`<span class="state bad">moves soon</span>`;
  if (revoked && state === 'held') return html`<span class="state bad">barred</span>`;
  switch (state) {
    case 'held': {
      const online = lastSeenAtMs !== undefined && nowMs - lastSeenAtMs < ONLINE_MS;
      return online
        ? html`<span class="state good">online</span>`
        : html`<span class="state warn">away</span>`;
    }
    case 'former':
      return html`<span class="state">leads on</span>`;
    case 'ordered':
      return html`<span class="state">ordered</span>`;
    case 'quarantined':
      return html`<span class="state">given up</span>`;
  }
}

function stateSentence(own: OwnName, nowMs: number): Content {
  const end = own.untilMs === undefined ? '' : moment(own.untilMs);
  switch (own.state) {
    case 'held':
      return own.lastSeenAtMs === undefined
        ? 'Its device has not connected yet.'
        : ['Its device was seen ', ago(own.lastSeenAtMs, nowMs), '.'];
    case 'former':
      return ['Leads to ', own.successor, ' until ', end, '.'];
    case 'ordered':
      return ['Waits for its device, until ', end, '.'];
    case 'quarantined':
      return ['Nobody can have it until ', end, '. You can take it back until then.'];
  }
}

export function nameContent(own: OwnName, deeds: readonly ListedDeed[], view: NameView): Content {
  return [
    own.recovery !== undefined && recoveryAlarm(own),
    factsSection(own, view),
    own.state === 'held' && renameSection(own, view),
    own.state === 'held' && transferSection(own),
    (own.state === 'held' || own.state === 'former') && releaseSection(own),
    historySection(deeds, view),
  ];
}

export interface NameView extends NamesView {
  readonly ownerId: string;
}

function factsSection(own: OwnName, { zone, nowMs, urlOf }: NameView): Html {
  const host = `${own.name}.${zone}`;
  const url = urlOf(own.name);
  return html`<section><div class="row"><h2>${host}</h2>${stateBadge(own, nowMs)}</div>
<p>${stateSentence(own, nowMs)}</p>
<dl><dt>Address</dt><dd>${own.state === 'held' ? html`<a href="${url}">${url}</a>` : host}</dd>
<dt>Device key</dt><dd><code>${own.thumbprint ?? 'none'}</code></dd>
<dt>Runs</dt><dd>${own.software ?? 'unknown'}</dd>
<dt>Yours since</dt><dd>${moment(own.claimedAtMs)}</dd></dl></section>`;
}

function recoveryAlarm({ name, recovery }: OwnName): Html | undefined {
  if (recovery === undefined) return undefined;
  return html`<section class="alarm"><h2>${name} is about to move to another device</h2>
<p>${dueSentence(recovery)} the device with the key <code>${recovery.newThumbprint}</code>
gets the name. Until then the old device (<code>${recovery.oldThumbprint}</code>) goes on serving.</p>
${recovery.waitsForMail && html`<p>The mail server has not taken the letter about it yet; the time begins when it has.</p>`}
<p>If you did not ask for this, stop it now; nobody can ask again for some days.</p>
<div class="actions">${action(`/recoveries/${recovery.id}/veto`, 'Stop it', { kind: 'danger' })}
${action(`/recoveries/${recovery.id}/withdraw`, 'I have changed my mind', { kind: 'quiet' })}</div>
</section>`;
}

function dueSentence({ dueAtMs, waitsForMail }: Pick<ListedRecovery, 'dueAtMs' | 'waitsForMail'>) {
  return waitsForMail
    ? html`Not before ${moment(dueAtMs)}, at a time that is still open,`
    : html`On ${moment(dueAtMs)}`;
}

function renameSection({ name }: OwnName, { zone }: NameView): Html {
  return html`<section><h2>Rename</h2>
<p>The device gets another name. The old one leads to it for some weeks and stays yours so long.</p>
<form method="post" action="/names/${name}/rename">
<label for="to">New name</label>
<p class="hint" id="to-hint">3 to 32 letters a-z, digits and hyphens, in front of .${zone}</p>
<input type="text" id="to" name="to" required maxlength="64" autocomplete="off"
 autocapitalize="none" spellcheck="false" aria-describedby="to-hint">
<button>Rename</button></form></section>`;
}

function transferSection({ name, offer }: OwnName): Html {
  if (offer !== undefined) {
    return html`<section><h2>Offered to somebody</h2>
<p>Offered to <strong>${offer.toEmail}</strong> until ${moment(offer.expiresAtMs)}.</p>
${action(`/names/${name}/transfer/withdraw`, 'Take the offer back', { kind: 'quiet' })}</section>`;
  }
  return html`<section><details><summary>Give to somebody</summary>
<p>The name and its device become theirs once they accept. They get a code by mail.</p>
<form method="post" action="/names/${name}/transfer">
<label for="toEmail">Their mail address</label>
<input type="email" id="toEmail" name="toEmail" required maxlength="254" autocomplete="off">
<button>Offer ${name}</button></form></details></section>`;
}

function releaseSection({ name }: OwnName): Html {
  return html`<section><details><summary>Give up</summary>
<p>The name stops working at once. Others cannot have it for some months; you can take it back
meanwhile.</p>
<form method="post" action="/names/${name}/release">
<label for="confirm">Type <strong>${name}</strong> to give it up</label>
<input type="text" id="confirm" name="confirm" required maxlength="64" autocomplete="off"
 autocapitalize="none" spellcheck="false">
<button class="danger">Give up ${name}</button></form></details></section>`;
}

function historySection(deeds: readonly ListedDeed[], { ownerId }: NameView): Html {
  return html`<section><h2>What happened</h2>
<table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">By</th></tr></thead>
<tbody>${deeds.map(
    (deed) => html`<tr><td>${moment(deed.atMs)}</td><td>${WORDS[deed.what]}</td>
<td>${BY[whoDid(deed.actor, ownerId)]}</td></tr>`,
  )}</tbody></table></section>`;
}

const BY = {
  you: 'you',
  owner: 'its owner',
  device: 'the device',
  operator: 'the operator',
  clock: 'time',
} as const;

const WORDS: Readonly<Record<HistoryWord, string>> = {
  ordered: 'Ordered',
  'order-lapsed': 'The order ended',
  enrolled: 'Given to a device',
  replaced: 'Given to another device',
  renamed: 'Renamed',
  'rename-lapsed': 'Leads on no more',
  released: 'Given up',
  freed: 'Free again',
  'transfer-offered': 'Offered to somebody',
  'transfer-withdrawn': 'Offer ended',
  transferred: 'Changed its owner',
  'recovery-begun': 'Move to another device begun',
  'recovery-told': 'The letter about the move was sent: its time begins',
  'recovery-not-told': 'The letter about the move could not be delivered: its time begins',
  'recovery-vetoed': 'Move to another device stopped',
  'recovery-withdrawn': 'Move to another device called off',
  recovered: 'Moved to another device',
  'key-rotated': 'The device has a new key',
  revoked: 'The device was barred',
  'domain-added': 'A domain was added',
  'domain-changed': 'A domain leads elsewhere',
  'domain-proven': 'A domain was proven',
  'domain-suspended': 'A domain was suspended',
  'domain-moved': 'A domain went along',
  'domain-removed': 'A domain was removed',
  'lan-changed': 'Address at home changed',
};
