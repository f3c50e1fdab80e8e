// How many connections each visitor address has open, so that one of them cannot take all.

export class AddressCount {
  readonly #open = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Counts one more and returns what to `release()` later; `undefined`: the address has enough. */
  take(address: string): string | undefined {
    const owner = addressOwner(address);
    const open = this.#open.get(owner) ?? 0;
    if (open >= this.#max) return undefined;
    this.#open.set(owner, open + 1);
    return owner;
  }

  release(owner: string): void {
    const open = this.#open.get(owner) ?? 0;
    if (open > 1) this.#open.set(owner, open - 1);
    else this.#open.delete(owner);
  }
}

/** An IPv4 address, also when spelled as IPv6, or the /64 of an IPv6 address: a home has all of it. */
export function addressOwner(address: string): string {
  if (!address.includes(':')) return address;
  const v4 = address.lastIndexOf(':') + 1;
  if (address.startsWith('::ffff:') && address.includes('.', v4)) return address.slice(v4);
  const [left = '', right] = (address.split('%', 1)[0] ?? '').split('::', 2);
  const groups = left === '' ? [] : left.split(':');
  if (right !== undefined) {
    const tail = right === '' ? [] : right.split(':');
    while (groups.length + tail.length < 8) groups.push('0');
    groups.push(...tail);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}
