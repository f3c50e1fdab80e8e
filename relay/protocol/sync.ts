// The sync frame: each side tells now and then which streams it still has, so that a stream that only
// one side knows does not live for ever. Frames keep their order, so whatever the sender of a list
// closed before it is known here by then; what it has not in its list, and must have seen, has leaked.

/** The ids rise in both: in a map they stand in the order in which their streams were opened. */
export function encodeSync(lastId: number, streams: ReadonlyMap<number, unknown>): Buffer {
  const payload = Buffer.allocUnsafe(4 + 4 * streams.size);
  let at = payload.writeUInt32BE(lastId, 0);
  for (const id of streams.keys()) at = payload.writeUInt32BE(id, at);
  return payload;
}

/**
 * Ours that the other side no longer knows. Undefined: the payload is malformed, its ids do not rise,
 * or it names streams that were never opened.
 */
export function findLeaked<Kept>(
  payload: Buffer,
  lastId: number,
  streams: ReadonlyMap<number, Kept>,
): Kept[] | undefined {
  if (payload.length < 4 || payload.length % 4 !== 0) return undefined;
  const highest = payload.readUInt32BE(0);
  if (highest > lastId || !isRising(payload, highest)) return undefined;
  const leaked: Kept[] = [];
  let at = 4;
  for (const [id, stream] of streams) {
    if (id > highest) break;
    while (at < payload.length && payload.readUInt32BE(at) < id) at += 4;
    if (at === payload.length || payload.readUInt32BE(at) !== id) leaked.push(stream);
  }
  return leaked;
}

function isRising(payload: Buffer, highest: number): boolean {
  let previous = 0;
  for (let at = 4; at < payload.length; at += 4) {
    const id = payload.readUInt32BE(at);
    if (id <= previous || id > highest) return false;
    previous = id;
  }
  return true;
}
