// From a hostname to a stream: which name it is, whose device that is, which tunnel takes it.
import { type DeviceName, type Hostname, parseHostname, splitHostname } from '../dns/name.ts';
import type { Problem } from './entrance/pages.ts';
import type { Reach } from './entrance/reach.ts';
import type { Visitor } from './entrance/visitor.ts';
import type { Link } from './protocol/link.ts';
import type { Session } from './protocol/session.ts';
import type { Stream } from './protocol/stream.ts';

export interface RouteOptions {
  readonly zone: Hostname;
  /** The device key that holds a name. */
  readonly holderOf: (name: DeviceName) => string | undefined;
  /** For a name that was changed: what it is now. */
  readonly successorOf: (name: DeviceName) => DeviceName | undefined;
  /** A tunnel of the device that takes another stream. */
  readonly pick: (thumbprint: string) => Session | undefined;
  /** When the device was last connected, epoch milliseconds. */
  readonly awaySinceMs: (thumbprint: string) => number | undefined;
  /** The relay itself is about to stop. */
  readonly stopping: () => boolean;
  readonly streamsPerVisitor: number;
}

export class Router {
  readonly #options: RouteOptions;
  /** Open streams by device and visitor address. */
  readonly #streams = new Map<string, number>();
  /** Open streams by the name that they were asked for, each with the device key that had it then. */
  readonly #byName = new Map<DeviceName, Map<Stream, string>>();

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  readonly reach: Reach = (visitor) => {
    const { zone, holderOf, pick, awaySinceMs, stopping } = this.#options;
    const place = splitHostname(visitor.hostname as Hostname, zone);
    const name = place.kind === 'device' || place.kind === 'workspace' ? place.name : undefined;
    const holder = name === undefined ? undefined : holderOf(name);
    if (name === undefined) return { kind: 'no-such-name' };
    if (holder === undefined) return this.#former(visitor.hostname, name);
    if (place.kind !== 'workspace' || place.port !== undefined)
      return { kind: 'no-such-workspace' };
    if (stopping()) return { kind: 'relay-draining' };
    const session = pick(holder);
    if (session === undefined) return away(awaySinceMs(holder));
    return this.#open(session, holder, { name, workspace: place.workspace, visitor });
  };

  /**
   * Cuts the streams of names that have gone to another key, or to nobody: whoever lost a device must
   * not go on talking to it. A rename, which keeps the key, harms none.
   */
  review(names: Iterable<string> = this.#byName.keys()): void {
    const { holderOf, successorOf } = this.#options;
    for (const name of names as Iterable<DeviceName>) {
      const streams = this.#byName.get(name);
      if (streams === undefined) continue;
      const present = holderOf(name) === undefined ? successorOf(name) : name;
      const holder = present && holderOf(present);
      for (const [stream, then] of [...streams]) {
        if (then !== holder) stream.fail('cancelled', 'the name has another device now, or none');
      }
    }
  }

  /** The same place at the present name, if the name has one. */
  #former(hostname: string, name: DeviceName): Problem {
    const { zone, successorOf } = this.#options;
    const successor = successorOf(name);
    const inFront = hostname.slice(0, hostname.length - `${name}.${zone}`.length);
    const moved = successor && parseHostname(`${inFront}${successor}.${zone}`);
    return moved === undefined ? { kind: 'no-such-name' } : { kind: 'moved', hostname: moved };
  }

  #open(
    session: Session,
    holder: string,
    to: { readonly name: DeviceName; readonly workspace: string; readonly visitor: Visitor },
  ): Link | Problem {
    const { address, port, trust } = to.visitor;
    const key = `${holder} ${address}`;
    const open = this.#streams.get(key) ?? 0;
    if (open >= this.#options.streamsPerVisitor) return { kind: 'too-many-requests' };
    const { name, workspace } = to;
    const stream = session.open({ name, workspace, address, port, trust });
    if (stream === undefined) return { kind: 'too-many-streams' };
    this.#streams.set(key, open + 1);
    const named = this.#byName.get(name) ?? new Map<Stream, string>();
    this.#byName.set(name, named.set(stream, holder));
    stream.over = () => {
      this.#closed(key);
      named.delete(stream);
      if (named.size === 0 && this.#byName.get(name) === named) this.#byName.delete(name);
    };
    return stream;
  }

  #closed(key: string): void {
    const open = (this.#streams.get(key) ?? 1) - 1;
    if (open === 0) this.#streams.delete(key);
    else this.#streams.set(key, open);
  }
}

function away(sinceMs: number | undefined): Problem {
  return sinceMs === undefined ? { kind: 'device-away' } : { kind: 'device-away', sinceMs };
}
