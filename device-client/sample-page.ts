// The page of the sample workspace: what arrived, in a person's words, and two live trials that run
// in the browser. Self-contained; everything that came from outside is escaped.
import type { Arrival } from './sample.ts';

/** The whole document. The nonce is the one in the page's Content-Security-Policy. */
export function samplePage(arrival: Arrival, nonce: string): string {
  const rows = Object.entries(arrival.headers).map(([name, value]) => row(name, String(value)));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>hello · Waygate</title>
<style>${STYLE}</style>
<main>
<p class="mark">Waygate</p>
<h1>Hello. You came through.</h1>
<p class="lead">${lead(arrival)}</p>
<section class="cards">
${card('Visitor', arrival.address ?? 'unknown', 'The address the entrance saw you come from.')}
${card('Trust level', arrival.trust ?? 'none', TRUST_WORDS[arrival.trust ?? ''] ?? 'No entrance has judged this request.')}
${card('Came in by', arrival.via ?? 'directly', VIA_WORDS[arrival.via ?? ''] ?? 'Nothing stood between you and this workspace.')}
</section>
<section class="cards">
<div class="card" id="ws"><h2>WebSocket</h2><p class="value" data-live>connecting</p><p data-note>Echoes a message every second.</p></div>
<div class="card" id="sse"><h2>Event stream</h2><p class="value" data-live>connecting</p><p data-note>One event every second, as it happens.</p></div>
</section>
<h2>What arrived here</h2>
<p class="request"><code>${escaped(arrival.method)} ${escaped(arrival.url)}</code></p>
<table>${rows.join('')}</table>
<h2>Try more</h2>
<p><a href="/headers">/headers</a> this as JSON · <a href="/events">/events</a> event stream ·
<a href="/download?bytes=10485760" download>/download</a> 10 MiB · <code>POST /echo</code> ·
<code>POST /upload</code> · <code>/ws</code></p>
</main>
<noscript><p>The two live trials need JavaScript.</p></noscript>
<script nonce="${escaped(nonce)}">${SCRIPT}</script>
</html>
`;
}

const TRUST_WORDS: Readonly<Record<string, string>> = {
  '0': 'Remote: nothing is known of where you are.',
  '1': 'The same public address as the device: a hint, no proof.',
  '2': 'Your browser has proven that it reaches the device on its network.',
  '3': 'You are on the device’s own network.',
};

const VIA_WORDS: Readonly<Record<string, string>> = {
  relay: 'The vendor’s relay, and from there the device’s tunnel.',
  lan: 'The device itself, on its own network.',
};

function lead({ headers }: Arrival): string {
  const host = escaped(headers.host ?? 'this address');
  return `This page was made by the workspace behind <b>${host}</b>, a plain HTTP server on loopback that no router points to.`;
}

function card(title: string, value: string, note: string): string {
  return `<div class="card"><h2>${title}</h2><p class="value">${escaped(value)}</p><p>${note}</p></div>`;
}

function row(name: string, value: string): string {
  return `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root{--ink:#16202c;--dim:#5a6878;--line:#d9e0e8;--paper:#f6f8fa;--card:#fff;--accent:#0b6e63}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#93a1b0;--line:#2b3642;--paper:#0f151c;--card:#18212b;--accent:#4fd1c0}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:3rem 1.25rem}
.mark{color:var(--accent);font-weight:600;margin:0}
h1{font-size:clamp(1.8rem,5vw,2.6rem);line-height:1.15;margin:.2rem 0 1rem}
h2{font-size:.95rem;margin:2rem 0 .6rem}
.lead{max-width:42rem;color:var(--dim)}.lead b{color:var(--ink)}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));margin-top:1.25rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.1rem}
.card h2{margin:0;color:var(--dim);font-weight:500}.card p{margin:0;color:var(--dim);font-size:.9rem}
.card .value{color:var(--ink);font-size:1.35rem;font-weight:600;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.card[data-state=good] .value{color:var(--accent)}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);font-size:.9rem}
th,td{text-align:left;padding:.45rem .8rem;border-top:1px solid var(--line);vertical-align:top}
th{font-weight:500;color:var(--dim);white-space:nowrap}td{overflow-wrap:anywhere;font-family:ui-monospace,monospace}
a{color:var(--accent)}code{font-family:ui-monospace,monospace}
`;

const SCRIPT = `
const show = (id, text, good) => {
  const card = document.getElementById(id);
  card.querySelector('[data-live]').textContent = text;
  card.dataset.state = good ? 'good' : '';
};
const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
let sentAt = 0, echoes = 0;
const ask = () => { if (socket.readyState === 1) { sentAt = performance.now(); socket.send('ping'); } };
socket.onopen = () => { ask(); setInterval(ask, 1000); };
socket.onmessage = () => {
  echoes += 1;
  show('ws', (performance.now() - sentAt).toFixed(1) + ' ms · ' + echoes + (echoes === 1 ? ' echo' : ' echoes'), true);
};
socket.onclose = () => show('ws', 'closed after ' + echoes, false);
const stream = new EventSource('/events');
let events = 0;
stream.onmessage = () => { events += 1; show('sse', events + (events === 1 ? ' event' : ' events'), true); };
stream.onerror = () => show('sse', 'reconnecting after ' + events, false);
`;
