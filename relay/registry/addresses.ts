// Lists of addresses in a column: JSON arrays of text.

/** What was stored with JSON.stringify; null is none. */
export function parseAddresses(text: string | null): string[] {
  const value: unknown = text === null ? [] : JSON.parse(text);
  return Array.isArray(value) ? value.map(String) : [];
}
