// The page that a person sees: one small document that needs nothing else, in light and dark.
import type { ProblemText } from './pages.ts';

export function htmlPage(text: ProblemText): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escaped(text.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<p class="status">${text.status}</p>
<h1>${escaped(text.title)}</h1>
<p>${escaped(text.detail)}</p>
<p>${escaped(text.next)}</p>
</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #f6f7f9;
  --card: #ffffff; --line: #dfe3e8; --mark: #2f6fde; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #9aa5b4; --paper: #12161c; --card: #1a2029; --line: #2b333f;
    --mark: #7aa8ff; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 34rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: 0.6rem;
  overflow-wrap: anywhere; }
.status { margin: 0; color: var(--mark); font-weight: 600; letter-spacing: 0.08em; }
h1 { margin: 0.25rem 0 1rem; font-size: 1.6rem; line-height: 1.25; }
p { margin: 0 0 0.75rem; }
p:last-child { margin: 0; color: var(--soft); }
`;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Safe between tags and in quoted attributes, the only places where contents stand. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
