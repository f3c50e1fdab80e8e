// The page that lists where an owner is signed in.
import type { ListedSession } from '../registry/account.ts';
import { type Content, html } from './html.ts';
import { action, moment } from './page.ts';

export function sessionsContent(sessions: readonly ListedSession[], current: string): Content {
  const others = sessions.some(({ id }) => id !== current);
  return [
    html`<ul class="cards">${sessions.map(
      ({ id, issuedAtMs, expiresAtMs }) => html`<li class="card"><div class="row">
<div>Signed in ${moment(issuedAtMs)}<br>
<span class="soft">Ends ${moment(expiresAtMs)} if it is not used</span></div>
${
  id === current
    ? html`<span class="state good">this browser</span>`
    : action(`/sessions/${id}/end`, 'End', { kind: 'quiet' })
}</div></li>`,
    )}</ul>`,
    others && action('/sessions/end-others', 'End all others', { kind: 'danger' }),
  ];
}
