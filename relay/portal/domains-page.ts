// The pages that show domains of an owner's own: all of them with a form for one more, and one with what
// has to be entered at its DNS provider and how far it is. Every value can be taken with one click, and
// every state is a word.
import type { DomainEntry, DomainReport, DomainStep } from '../domains/report.ts';
import { domainUrl, isLive } from './domain-view.ts';
import { type Content, type Html, html } from './html.ts';
import { action, moment } from './page.ts';
import type { Problem } from './problem.ts';

/** What a person has typed into the form. */
export interface TypedForm {
  readonly name: string;
  readonly domain: string;
  readonly workspace?: string;
  readonly wildcard?: 'yes';
}

export interface DomainsView {
  readonly zone: string;
  /** The portal's own address. */
  readonly origin: string;
  /** Names that a domain can lead to. */
  readonly names: readonly string[];
  /** What the form holds already. */
  readonly typed?: TypedForm;
  readonly refused?: Problem;
}

export function domainsContent(reports: readonly DomainReport[], view: DomainsView): Content {
  return [
    reports.length === 0
      ? html`<section><p>Let a domain of your own, such as app.example.org, lead to one of your
devices. You need to be able to change its DNS.</p></section>`
      : html`<ul class="cards">${reports.map((report) => domainCard(report, view))}</ul>`,
    addSection(view),
  ];
}

function domainCard(report: DomainReport, view: DomainsView): Html {
  const { domain } = report;
  return html`<li class="card"><div class="row">
<a class="name" href="${domainPath(report)}">${domain}</a>${badge(report)}</div>
<p class="soft">${targetSentence(report, view.zone)}</p></li>`;
}

function addSection({ names, typed, refused, zone }: DomainsView): Html {
  if (names.length === 0) {
    return html`<section><h2>Add a domain</h2>
<p>A domain leads to a device, and you have none yet.</p>
<p><a class="button" href="/claim">Add a device</a></p></section>`;
  }
  return html`<section><h2>Add a domain</h2>${refusedNotice(refused)}
<form method="post" action="/domains">
<label for="domain">Domain</label>
<p class="hint" id="domain-hint">Yours already, for instance app.example.org or example.org</p>
<input type="text" id="domain" name="domain" value="${typed?.domain ?? ''}" required maxlength="254"
 autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="domain-hint">
<label for="name">Leads to</label>
<select id="name" name="name">${names.map((name) =>
    name === typed?.name
      ? html`<option value="${name}" selected>${name}.${zone}</option>`
      : html`<option value="${name}">${name}.${zone}</option>`,
  )}</select>
<label for="workspace">Workspace</label>
<p class="hint" id="workspace-hint">Its name, if the domain leads to a single one; else nothing</p>
<input type="text" id="workspace" name="workspace" value="${typed?.workspace ?? ''}" maxlength="64"
 autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="workspace-hint">
<label class="choice"><input type="checkbox" name="wildcard" value="yes"${
    typed?.wildcard !== undefined && html` checked`
  }>
<span>With all names one label below it (*.example.org)</span></label>
<button>Add the domain</button></form></section>`;
}

/** A page of one domain; several names may have the same one. */
export function domainPath(
  { domain, name }: Pick<DomainReport, 'domain' | 'name'>,
  rest: '' | '/check' | '/remove' = '',
): string {
  return `/domains/${domain}${rest}?name=${name}`;
}

export interface DomainView {
  readonly zone: string;
  readonly origin: string;
  /** Given where somebody waits for a look: how long ago the last one was is told in seconds. */
  readonly nowMs?: number | undefined;
  /** How often the page looks again by itself, and where that is changed; absent: never. */
  readonly again?: { readonly words: string; readonly change: string; readonly href: string };
}

export function domainContent(report: DomainReport, view: DomainView): Content {
  const live = isLive(report);
  return [
    summarySection(report, view),
    !live && entriesSection(report),
    stepsSection(report, view),
    live &&
      html`<section><details><summary>Its DNS entries</summary>
<p>They have to stay: the domain is checked again each day.</p>${entryGroups(report)}
</details></section>`,
  ];
}

function summarySection(report: DomainReport, { zone, origin, nowMs }: DomainView): Html {
  const { domain, checkedAtMs } = report;
  const url = domainUrl(domain, origin);
  return html`<section><div class="row"><h2>${SUMMARIES[summaryOf(report)].title}</h2>${badge(report)}</div>
<p>${targetSentence(report, zone)}</p>
${isLive(report) && html`<p><a href="${url}">${url}</a></p>`}
<p class="soft">${
    checkedAtMs === undefined
      ? 'Not checked yet.'
      : html`Checked ${moment(checkedAtMs)}${nowMs !== undefined && secondsAgo(checkedAtMs, nowMs)}.`
  }</p>
<div class="actions">${action(domainPath(report, '/check'), 'Check now')}
<a href="${domainPath(report, '/remove')}">Remove this domain</a></div></section>`;
}

function secondsAgo(atMs: number, nowMs: number): string {
  return `, ${Math.max(0, Math.ceil((nowMs - atMs) / 1_000))} seconds ago`;
}

function stepsSection({ steps }: DomainReport, { again }: DomainView): Html {
  return html`<section><h2>How far it is</h2>
<ol class="steps">${steps.map(
    (step) => html`<li><div class="row"><h3>${TITLES[step.step]}</h3>${stepBadge(step)}</div>
<dl><dt>Found</dt><dd>${step.found}</dd>
${step.state !== 'ok' && html`<dt>Expected</dt><dd>${step.expected}</dd>`}
${step.next !== undefined && html`<dt>What to do</dt><dd>${step.next}</dd>`}</dl></li>`,
  )}</ol>
${
  again !== undefined &&
  html`<p class="soft">${again.words} <a href="${again.href}">${again.change}</a></p>`
}</section>`;
}

function entriesSection(report: DomainReport): Html {
  return html`<section><h2>Enter this at your DNS provider</h2>
<p>A click on a name or a value selects all of it. Some providers show a part of the name already:
leave that part out. Changes are seen here after some minutes, seldom hours.</p>
${entryGroups(report)}</section>`;
}

function entryGroups({ entries }: DomainReport): Content {
  const always = entries.filter(({ needed }) => needed === 'yes');
  const aliases = entries.filter(({ needed, type }) => needed === 'one-of' && type === 'CNAME');
  const addresses = entries.filter(({ needed, type }) => needed === 'one-of' && type !== 'CNAME');
  const wildcard = entries.filter(({ needed }) => needed === 'wildcard');
  const both = aliases.length > 0 && addresses.length > 0;
  return [
    entryList(undefined, always),
    entryList(both ? 'And either' : undefined, aliases),
    entryList(both ? 'Or, where the provider allows no CNAME' : undefined, addresses),
    entryList('And for all names below it', wildcard),
  ];
}

function entryList(title: string | undefined, entries: readonly DomainEntry[]): Content {
  if (entries.length === 0) return undefined;
  return [
    title !== undefined && html`<h3>${title}</h3>`,
    html`<ul class="entries">${entries.map(
      ({ type, owner, value, why }) => html`<li><dl><dt>Type</dt><dd>${type}</dd>
<dt>Name</dt><dd><code class="take">${owner}</code></dd>
<dt>Value</dt><dd><code class="take">${value}</code></dd>
<dt>Why</dt><dd class="soft">${why}</dd></dl></li>`,
    )}</ul>`,
  ];
}

export function removeContent(report: DomainReport, refused?: Problem): Content {
  const { domain } = report;
  return html`<section>${refusedNotice(refused)}
<p>Visitors of ${domain} are not served any more, at once. If you add it again later, it gets new
DNS entries.</p>
<form method="post" action="${domainPath(report, '/remove')}">
<label for="confirm">Type <strong>${domain}</strong> to remove it</label>
<input type="text" id="confirm" name="confirm" required maxlength="254" autocomplete="off"
 autocapitalize="none" spellcheck="false">
<div class="actions"><button class="danger">Remove ${domain}</button>
<a href="${domainPath(report)}">Keep it</a></div></form></section>`;
}

function refusedNotice(refused: Problem | undefined): Content {
  if (refused === undefined) return undefined;
  return html`<p class="notice bad" role="alert">${refused.detail} ${refused.next}</p>`;
}

function targetSentence({ name, workspace, wildcard }: DomainReport, zone: string): string {
  const device = `${name}.${zone}`;
  if (workspace !== undefined) {
    return `Leads to ${workspace}.${device}${wildcard ? ', with all names below it' : ''}.`;
  }
  return wildcard
    ? `Leads to ${device}, and each name below it to the workspace of that name.`
    : `Leads to ${device}.`;
}

type Summary = 'live' | 'suspended' | 'wrong' | 'waiting';

function summaryOf(report: DomainReport): Summary {
  if (report.state === 'suspended') return 'suspended';
  if (isLive(report)) return 'live';
  return report.steps.some(({ state }) => state === 'wrong') ? 'wrong' : 'waiting';
}

function badge(report: DomainReport): Html {
  const { kind, words } = SUMMARIES[summaryOf(report)];
  return html`<span class="state ${kind}">${words}</span>`;
}

function stepBadge({ state }: DomainStep): Html {
  const { kind, words } = STEP_STATES[state];
  return html`<span class="state ${kind}">${words}</span>`;
}

const SUMMARIES = {
  live: { title: 'It works', kind: 'good', words: 'live' },
  suspended: { title: 'It is not served any more', kind: 'bad', words: 'suspended' },
  wrong: { title: 'Its DNS is not as it has to be', kind: 'bad', words: 'needs you' },
  waiting: { title: 'Being set up', kind: 'warn', words: 'waiting' },
} as const;

const STEP_STATES = {
  ok: { kind: 'good', words: 'done' },
  waiting: { kind: 'warn', words: 'waiting' },
  wrong: { kind: 'bad', words: 'needs you' },
} as const;

const TITLES = {
  proof: 'Proof that it is yours',
  routing: 'The way to your device',
  caa: 'Permission for a certificate (CAA)',
  certificate: 'Certificate',
  live: 'Live',
} as const;
