// HTML that is escaped by construction: what is put into a template is text, unless it is itself the
// result of a template. There is no way around it, so nothing from outside can become markup.
import { escaped } from '../entrance/page-html.ts';

declare const markupBrand: unique symbol;

/** Markup that only `html` makes. */
export interface Html {
  readonly markup: string;
  readonly [markupBrand]?: true;
}

class Markup implements Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

/** What may stand in a template. `undefined` and `false` are nothing, so `condition && html…` works. */
export type Content = string | number | Html | undefined | false | readonly Content[];

/** A style sheet of ours as an element. In it nothing is escaped, so nothing from outside may be in it. */
export function styleElement(sheet: string): Html {
  if (sheet.includes('<')) throw new TypeError('A style sheet must not end its element.');
  return new Markup(`<style>${sheet}</style>`);
}

export function html(pieces: TemplateStringsArray, ...contents: readonly Content[]): Html {
  let markup = pieces[0] ?? '';
  for (const [at, content] of contents.entries()) markup += text(content) + (pieces[at + 1] ?? '');
  return new Markup(markup);
}

function text(content: Content): string {
  if (content === undefined || content === false) return '';
  if (typeof content === 'number') return String(content);
  if (typeof content === 'string') return escaped(content);
  // Only `html` makes instances, so an object from JSON that has the same field is no markup.
  if (content instanceof Markup) return content.markup;
  if (Array.isArray(content)) return content.map(text).join('');
  throw new TypeError('Only text and markup may stand in a page.');
}
