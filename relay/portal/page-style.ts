// The style sheet of the portal's pages: one column, large targets, light and dark by the system's
// wish, and nothing that has to be fetched.

export const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566172; --paper: #f4f6f8;
  --card: #ffffff; --line: #d9dee5; --mark: #2560c4; --on-mark: #ffffff; --bad: #b3261e;
  --good: #1a7f4b; --warn: #8a5a00; --tint: #eaf1fd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #a3aebd; --paper: #12161c; --card: #1a2029; --line: #323b48;
    --mark: #8ab4ff; --on-mark: #0d1420; --bad: #ff9c94; --good: #6fd6a2; --warn: #ffc766;
    --tint: #1d2a40; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center;
  justify-content: space-between; padding: 0.75rem 1.5rem; background: var(--card);
  border-bottom: 1px solid var(--line); }
header ul { display: flex; flex-wrap: wrap; gap: 0.2rem; margin: 0; padding: 0; list-style: none; }
header nav a { display: block; padding: 0.4rem 0.5rem; border-radius: 0.4rem; color: var(--ink);
  text-decoration: none; }
header nav a:hover { background: var(--tint); }
header nav a[aria-current] { color: var(--mark); font-weight: 600; background: var(--tint); }
header form { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center;
  margin: 0 0 0 auto; }
.brand { font-weight: 700; }
header nav { flex: 1 1 auto; font-size: 0.95rem; }
.owner { color: var(--soft); font-size: 0.95rem; }
main { width: 100%; max-width: 46rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
main.narrow { max-width: 34rem; }
h1 { margin: 0 0 1.25rem; font-size: 1.75rem; line-height: 1.25; }
h2 { margin: 0 0 0.75rem; font-size: 1.2rem; line-height: 1.3; }
h3 { margin: 1rem 0 0.5rem; font-size: 1.05rem; line-height: 1.3; }
p { margin: 0 0 0.9rem; }
a { color: var(--mark); }
section, .card { margin: 0 0 1.25rem; padding: 1.25rem 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 0.6rem; }
section > :last-child, .card > :last-child { margin-bottom: 0; }
.cards { margin: 0; padding: 0; list-style: none; }
ol.steps, .entries { margin: 0 0 1rem; padding: 0; list-style: none; }
.steps > li, .entries > li { padding: 0.75rem 0; border-top: 1px solid var(--line); }
.steps h3 { margin: 0; }
.steps dl, .entries dl { margin: 0.3rem 0 0; }
.take { display: inline-block; padding: 0.1rem 0.45rem; background: var(--tint);
  border-radius: 0.3rem; -webkit-user-select: all; user-select: all; }
.row { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center;
  justify-content: space-between; }
.row > form { margin: 0; }
.name { font-size: 1.2rem; font-weight: 600; }
.soft { color: var(--soft); }
.state { display: inline-block; padding: 0.05rem 0.6rem; border: 1px solid currentColor;
  border-radius: 1rem; font-size: 0.875rem; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); }
.warn { color: var(--warn); }
.bad { color: var(--bad); }
.notice { padding: 0.75rem 1rem; background: var(--tint); border: 1px solid var(--mark);
  border-radius: 0.5rem; }
.notice.bad { border-color: var(--bad); }
.alarm { border: 2px solid var(--bad); }
.problem { border-top: 4px solid var(--bad); }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: 0.4rem 1.25rem;
  margin: 0 0 1rem; }
dt { color: var(--soft); }
dd { margin: 0; }
code { font: 0.95em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
form { margin: 0 0 0.9rem; }
label { display: block; margin: 0 0 0.3rem; font-weight: 600; }
.hint { margin: 0 0 0.4rem; color: var(--soft); font-size: 0.95rem; font-weight: 400; }
fieldset { margin: 0 0 1rem; padding: 0; border: 0; }
legend { padding: 0; font-weight: 600; }
.choice { display: flex; gap: 0.6rem; align-items: baseline; margin: 0.4rem 0; font-weight: 400; }
input[type="text"], input[type="email"], select { display: block; width: 100%; max-width: 26rem;
  margin: 0 0 0.9rem; padding: 0.6rem 0.75rem; font: inherit; color: var(--ink);
  background: var(--card); border: 1px solid var(--soft); border-radius: 0.4rem; }
details > summary { font-size: 1.2rem; font-weight: 600; cursor: pointer; }
details[open] > summary { margin-bottom: 0.75rem; }
button, .button { display: inline-block; padding: 0.6rem 1.2rem; font: inherit; font-weight: 600;
  border: 1px solid var(--mark); border-radius: 0.4rem; background: var(--mark);
  color: var(--on-mark); text-decoration: none; cursor: pointer; }
button:hover, .button:hover { filter: brightness(1.08); }
button.quiet { padding: 0.3rem 0.8rem; font-weight: 400; background: transparent;
  color: var(--ink); border-color: var(--soft); }
button.danger { background: transparent; color: var(--bad); border-color: var(--bad); }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.actions { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; }
.actions > form { margin: 0; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 0.5rem; padding: 0.4rem 0.8rem; background: var(--card); }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.45rem 0.75rem 0.45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-size: 0.95rem; overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
@media (max-width: 34rem) {
  main { padding: 1.25rem 1rem 3rem; }
  header { padding: 0.75rem 1rem; }
  header nav { flex: 1 0 100%; }
  header form { margin: 0; }
  section, .card { padding: 1rem; }
  .row { margin-bottom: 0.5rem; }
  dl { grid-template-columns: 1fr; gap: 0 0; }
  dd { margin: 0 0 0.6rem; }
}
`;
