// Nothing from outside becomes markup, wherever it stands in a page.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Content, html, styleElement } from '../../../relay/portal/html.ts';

describe('html', () => {
  it('escapes what is put in, and leaves what it made itself', () => {
    const inner = html`<b title="${'"\'&'}">${'<i>'}</b>`;
    expect(html`<p>${inner}${[1, '<', html`<br>`]}${undefined}${false}</p>`.markup).toBe(
      '<p><b title="&quot;&#39;&amp;">&lt;i&gt;</b>1&lt;<br></p>',
    );
  });

  it('property: any text comes back as the same text, and as no markup', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { markup } = html`<p>${text}</p>`;
        const body = markup.slice(3, -4);
        expect(body).not.toMatch(/[<>"']/);
        const back = body
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&quot;', '"')
          .replaceAll('&#39;', "'")
          .replaceAll('&amp;', '&');
        expect(back).toBe(text);
      }),
    );
  });

  it('takes no object that only looks like markup', () => {
    const forged: Content = JSON.parse('{"markup":"<script>"}');
    expect(() => html`<p>${forged}</p>`).toThrow(TypeError);
    expect(() => styleElement('</style><script>')).toThrow(TypeError);
  });
});
