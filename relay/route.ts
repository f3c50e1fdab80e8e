// From a hostname to a stream: which name it is, whose device that is, which tunnel takes it.
import { type DeviceName, type Hostname, splitHostname } from '../dns/name.ts';
import type { Problem } from './entrance/pages.ts';
import type { Reach } from './entrance/reach.ts';
import type { Visitor } from './entrance/visitor.ts';
import type { Link } from './protocol/link.ts';
import type { Session } from './protocol/session.ts';

export interface RouteOptions {
  readonly zone: Hostname;
  /** The device key that holds a name. */
  readonly holderOf: (name: DeviceName) => string | undefined;
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

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  readonly reach: Reach = (visitor) => {
    const { zone, holderOf, pick, awaySinceMs, stopping } = this.#options;
    const place = splitHostname(visitor.hostname as Hostname, zone);
    const name = place.kind === 'device' || place.kind === 'workspace' ? place.name : undefined;
    const holder = name === undefined ? undefined : holderOf(name);
    if (name === undefined || holder === undefined) return { kind: 'no-such-name' };
    if (place.kind !== 'workspace' || place.port !== undefined)
      return { kind: 'no-such-workspace' };
    if (stopping()) return { kind: 'relay-draining' };
    const session = pick(holder);
    if (session === undefined) return away(awaySinceMs(holder));
    return this.#open(session, holder, { name, workspace: place.workspace, visitor });
  };

  #open(
    session: Session,
    holder: string,
    to: { readonly name: string; readonly workspace: string; readonly visitor: Visitor },
  ): Link | Problem {
    const { address, port, trust } = to.visitor;
    const key = `${holder} ${address}`;
    const open = this.#streams.get(key) ?? 0;
    if (open >= this.#options.streamsPerVisitor) return { kind: 'too-many-requests' };
    const { name, workspace } = to;
    const stream = session.open({ name, workspace, address, port, trust });
    if (stream === undefined) return { kind: 'too-many-streams' };
    this.#streams.set(key, open + 1);
    stream.over = () => this.#closed(key);
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
