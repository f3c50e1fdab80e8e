// Which known word a mistyped one was meant to be.

/** The nearest of the known words, or `undefined` when none is near enough to be meant. */
export function closestWord(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  // One slip in a short word, one in three letters of a long one.
  if (near === undefined || near.distance > Math.max(1, near.name.length / 3)) return undefined;
  return near.name;
}

/** Optimal string alignment: a swap of neighbours is one step, as it is one slip of the fingers. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  const cell = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const step = a[i - 1] === b[j - 1] ? 0 : 1;
      const swap =
        a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? cell(i - 2, j - 2) + 1
          : Number.POSITIVE_INFINITY;
      row[j] = Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, cell(i - 1, j - 1) + step, swap);
    }
  }
  return cell(a.length, b.length);
}
