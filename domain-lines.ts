// An own domain as lines for a terminal or a file: the table of what has to be entered at the DNS
// provider, and the steps until it is live with what was found instead of what.
import type { OwnDomain, OwnDomainEntry, OwnDomainStep } from './device-client/own-domains.ts';

/** The table. Its lines are as long as the values: what is cut or broken cannot be copied. */
export function entryLines({ domain, entries }: OwnDomain): readonly string[] {
  const widths = COLUMNS.map(({ title, of }) =>
    Math.max(title.length, ...entries.map((entry) => of(entry).length)),
  );
  const row = (texts: readonly string[]) =>
    `  ${texts.map((text, at) => text.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd();
  const rows = (some: readonly OwnDomainEntry[]) =>
    some.map((entry) => row(COLUMNS.map(({ of }) => of(entry))));
  const always = entries.filter(({ needed }) => needed === 'yes');
  const aliases = entries.filter(({ needed, type }) => needed === 'one-of' && type === 'CNAME');
  const addresses = entries.filter(({ needed, type }) => needed === 'one-of' && type !== 'CNAME');
  const wildcard = entries.filter(({ needed }) => needed === 'wildcard');
  const both = aliases.length > 0 && addresses.length > 0;
  return [
    `Enter this where the DNS of ${domain} is kept:`,
    '',
    row(COLUMNS.map(({ title }) => title)),
    ...rows(always),
    ...(both ? ['and either'] : []),
    ...rows(aliases),
    ...(both ? ['or these, where the provider allows no CNAME'] : []),
    ...rows(addresses),
    ...(wildcard.length > 0 ? ['and for all names below it'] : []),
    ...rows(wildcard),
    '',
    'Some providers show a part of the name already: leave that part out. Some want a dot at the end',
    'of the value of a CNAME.',
  ];
}

const COLUMNS: readonly {
  readonly title: string;
  readonly of: (entry: OwnDomainEntry) => string;
}[] = [
  { title: 'TYPE', of: ({ type }) => type },
  { title: 'NAME', of: ({ owner }) => owner },
  { title: 'VALUE', of: ({ value }) => value },
  { title: 'WHY', of: ({ why }) => why },
];

/** All steps; no line is longer than `columns`. */
export function stepLines(steps: readonly OwnDomainStep[], columns: number): readonly string[] {
  return steps.flatMap((step) => {
    const facts: (readonly [label: string, text: string])[] = [['found', step.found]];
    if (step.state !== 'ok') facts.push(['expected', step.expected]);
    if (step.next !== undefined) facts.push(['next', step.next]);
    return facts.flatMap(([label, text], at) => {
      const head = at === 0 ? `${stateWord(step)}${title(step)}` : '';
      return hanging(`${head.padEnd(FACTS_AT)}${label.padEnd(LABEL_CHARS)}`, text, columns);
    });
  });
}

/** One step on one line, for who reads line by line. */
export function stepLine(step: OwnDomainStep): string {
  const head = `${stateWord(step)}${title(step)}`.padEnd(FACTS_AT);
  if (step.state === 'ok') return `${head}${step.found}`;
  const todo = step.next === undefined ? '' : ` ${sentence(step.next)}`;
  return `${head}${sentence(step.found)} Expected: ${sentence(step.expected)}${todo}`;
}

/** One line of a list. */
export function domainLine(own: OwnDomain): string {
  const { domain, wildcard, name, workspace, state, live, steps } = own;
  const open = steps.find((step) => step.state !== 'ok');
  const far = open === undefined ? '' : `, ${title(open)} ${open.state}`;
  const target = workspace === undefined ? name : `${workspace}.${name}`;
  const shown = `${domain}${wildcard ? ' and *' : ''}`;
  return `${shown.padEnd(40)}  ${target.padEnd(24)}  ${live ? 'live' : `${state}${far}`}`;
}

/** That somebody else has just looked; `undefined`: nobody has. */
export function recentLine({ secondsAgo, againInSeconds }: OwnDomain): string | undefined {
  if (secondsAgo === undefined) return undefined;
  const again = againInSeconds === undefined ? '' : `, and looks again in ${againInSeconds} s`;
  return `The relay found this ${secondsAgo} s ago${again}.`;
}

/** `code.alice`: where a domain leads. */
export function targetWords({ name, workspace, wildcard }: OwnDomain): string {
  if (workspace !== undefined) return `the workspace ${workspace} of ${name}`;
  return wildcard ? `${name}, and each name below it to the workspace of that name` : name;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

const STATE_CHARS = 9;
const LABEL_CHARS = 10;
const FACTS_AT = 2 + STATE_CHARS + 13;

function stateWord({ state }: OwnDomainStep): string {
  return `  ${state.padEnd(STATE_CHARS)}`;
}

function title({ step }: OwnDomainStep): string {
  return step === 'caa' ? 'CAA' : step;
}

/** The text in lines of its own width beside the head; a word that is too long is cut. */
function hanging(head: string, text: string, columns: number): string[] {
  const width = Math.max(columns - head.length, NARROWEST);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => pieces(each, width))) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each, at) => (at === 0 ? head : ' '.repeat(head.length)) + each);
}

function pieces(word: string, width: number): readonly string[] {
  return word.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [''];
}

/** On a terminal that is narrower than a head and this, lines are longer than it. */
const NARROWEST = 16;
