// From a hostname to a stream: which name it is, whose device that is, which tunnel takes it.
import {
  type DeviceName,
  type Hostname,
  parseHostname,
  parseWorkspaceName,
  splitHostname,
  type WorkspaceName,
} from '../dns/name.ts';
import type { Problem } from './entrance/pages.ts';
import type { Reach } from './entrance/reach.ts';
import type { Visitor } from './entrance/visitor.ts';
import type { Link } from './protocol/link.ts';
import type { Session } from './protocol/session.ts';
import type { Stream } from './protocol/stream.ts';
import type { OwnDomainEntry } from './registry/served-domains.ts';

export interface RouteOptions {
  readonly zone: Hostname;
  /** The device key that holds a name. */
  readonly holderOf: (name: DeviceName) => string | undefined;
  /** For a name that was changed: what it is now. */
  readonly successorOf: (name: DeviceName) => DeviceName | undefined;
  /** The own domain that a hostname belongs to, if somebody has proven it. */
  readonly ownDomainOf: (hostname: Hostname) => OwnDomainEntry | undefined;
  /** A tunnel of the device that takes another stream. */
  readonly pick: (thumbprint: string) => Session | undefined;
  /** When the device was last connected, epoch milliseconds. */
  readonly awaySinceMs: (thumbprint: string) => number | undefined;
  /** The relay itself is about to stop. */
  readonly stopping: () => boolean;
  readonly streamsPerVisitor: number;
}

/** Where a visitor asked for a stream, and the device key that it led to then. */
interface Origin {
  readonly hostname: Hostname;
  readonly holder: string;
}

/** A name, and the workspace of it; `undefined`: the device itself, or no workspace that can be. */
interface RoutedPlace {
  readonly name: DeviceName;
  readonly workspace: WorkspaceName | undefined;
}

export class Router {
  readonly #options: RouteOptions;
  /** Open streams by device and visitor address. */
  readonly #streams = new Map<string, number>();
  /** Open streams by the name that they were asked for or by way of. */
  readonly #byName = new Map<DeviceName, Map<Stream, Origin>>();

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  readonly reach: Reach = (visitor) => {
    const { holderOf, pick, awaySinceMs, stopping } = this.#options;
    const hostname = visitor.hostname as Hostname;
    const place = this.#placeOf(hostname);
    if (place === undefined) return { kind: 'no-such-name' };
    const { name, workspace } = place;
    const holder = holderOf(name);
    if (holder === undefined) return this.#former(hostname, name);
    if (workspace === undefined) return { kind: 'no-such-workspace' };
    if (stopping()) return { kind: 'relay-draining' };
    const session = pick(holder);
    if (session === undefined) return away(awaySinceMs(holder));
    return this.#open(session, { hostname, holder }, { name, workspace, visitor });
  };

  /**
   * Cuts the streams of names and own domains that have gone to another key, or to nobody: whoever lost
   * a device must not go on talking to it. A rename, which keeps the key, harms none.
   */
  review(names: Iterable<string> = this.#byName.keys()): void {
    for (const name of names as Iterable<DeviceName>) {
      const streams = this.#byName.get(name);
      if (streams === undefined) continue;
      for (const [stream, { hostname, holder }] of [...streams]) {
        if (this.#holderNow(hostname) === holder) continue;
        stream.fail('cancelled', 'the name has another device now, or none');
      }
    }
  }

  #placeOf(hostname: Hostname): RoutedPlace | undefined {
    const place = splitHostname(hostname, this.#options.zone);
    switch (place.kind) {
      case 'device':
        return { name: place.name, workspace: undefined };
      case 'workspace':
        return {
          name: place.name,
          workspace: place.port === undefined ? place.workspace : undefined,
        };
      case 'outside': {
        const own = this.#options.ownDomainOf(hostname);
        return own && { name: own.name, workspace: workspaceOf(hostname, own) };
      }
      default:
        return undefined;
    }
  }

  /** The device key that a visitor of the hostname gets to now, perhaps by a redirect. */
  #holderNow(hostname: Hostname): string | undefined {
    const { holderOf, successorOf } = this.#options;
    const name = this.#placeOf(hostname)?.name;
    if (name === undefined) return undefined;
    const present = holderOf(name) === undefined ? successorOf(name) : name;
    return present && holderOf(present);
  }

  /** The same place at the present name, if the name has one. */
  #former(hostname: string, name: DeviceName): Problem {
    const { zone, successorOf } = this.#options;
    if (!hostname.endsWith(`${name}.${zone}`)) return { kind: 'no-such-name' };
    const successor = successorOf(name);
    const inFront = hostname.slice(0, hostname.length - `${name}.${zone}`.length);
    const moved = successor && parseHostname(`${inFront}${successor}.${zone}`);
    return moved === undefined ? { kind: 'no-such-name' } : { kind: 'moved', hostname: moved };
  }

  #open(
    session: Session,
    origin: Origin,
    to: { readonly name: DeviceName; readonly workspace: WorkspaceName; readonly visitor: Visitor },
  ): Link | Problem {
    const { address, port, trust } = to.visitor;
    const key = `${origin.holder} ${address}`;
    const open = this.#streams.get(key) ?? 0;
    if (open >= this.#options.streamsPerVisitor) return { kind: 'too-many-requests' };
    const { name, workspace } = to;
    const stream = session.open({ name, workspace, address, port, trust });
    if (stream === undefined) return { kind: 'too-many-streams' };
    this.#streams.set(key, open + 1);
    const named = this.#byName.get(name) ?? new Map<Stream, Origin>();
    this.#byName.set(name, named.set(stream, origin));
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

/** Below the wildcard of a whole device, the label says which: `code.app.example.org`. */
function workspaceOf(hostname: Hostname, own: OwnDomainEntry): WorkspaceName | undefined {
  if (own.workspace !== undefined || hostname === own.domain) return own.workspace;
  return parseWorkspaceName(hostname.slice(0, -own.domain.length - 1));
}

function away(sinceMs: number | undefined): Problem {
  return sinceMs === undefined ? { kind: 'device-away' } : { kind: 'device-away', sinceMs };
}
