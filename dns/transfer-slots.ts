// Who may transfer, and how many do so now: bounded in all and per secondary, so that a secondary that
// begins again and again, or never reads, leaves room for the others.
import { BlockList, isIPv4 } from 'node:net';
import type { SecondarySetting, TransferLimits } from './transfer-settings.ts';

interface Place {
  readonly secondary: SecondarySetting;
  readonly from: BlockList | undefined;
  running: number;
}

export class TransferSlots {
  readonly #limits: TransferLimits;
  readonly #places: readonly Place[];
  #running = 0;

  constructor(secondaries: readonly SecondarySetting[], limits: TransferLimits) {
    this.#limits = limits;
    this.#places = secondaries.map((secondary) => ({
      secondary,
      from: prefixes(secondary.transferFrom),
      running: 0,
    }));
  }

  get running(): number {
    return this.#running;
  }

  /** The secondaries with this key that may ask from this address, those that live there first. */
  admit(keyName: string, address: string): readonly SecondarySetting[] {
    const known = this.#places.filter(
      ({ secondary, from }) =>
        sameName(secondary.key, keyName) && (from === undefined || contains(from, address)),
    );
    const there = known.filter(({ secondary }) => secondary.address === plain(address));
    return (there.length > 0 ? there : known).map(({ secondary }) => secondary);
  }

  /** One of them that has room; undefined: none has. Free it once. */
  take(
    admitted: readonly SecondarySetting[],
  ): (Disposable & { readonly name: string }) | undefined {
    const place = this.#places.find(
      ({ secondary, running }) =>
        admitted.includes(secondary) && running < this.#limits.transfersPerSecondaryMax,
    );
    if (place === undefined || this.#running >= this.#limits.transfersMax) return undefined;
    place.running += 1;
    this.#running += 1;
    return {
      name: place.secondary.name,
      [Symbol.dispose]: () => {
        place.running -= 1;
        this.#running -= 1;
      },
    };
  }
}

/** The reader of the configuration has checked the texts. */
function prefixes(texts: readonly string[] | undefined): BlockList | undefined {
  if (texts === undefined) return undefined;
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', bits] = text.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

function contains(list: BlockList, address: string): boolean {
  const text = plain(address);
  return list.check(text, isIPv4(text) ? 'ipv4' : 'ipv6');
}

/** A socket for both families shows IPv4 addresses in this form. */
function plain(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}

/** Key names are domain names. */
function sameName(one: string, other: string): boolean {
  return canonical(one) === canonical(other);
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
