// A moment as programs tell it to each other: `2026-11-21T14:36:00.000Z`.
export function isoTime(atMs: number): string {
  return new Date(atMs).toISOString();
}
