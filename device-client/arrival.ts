// One stream that arrives through a tunnel, to a workspace and back. The relay has judged and
// rewritten every request in it; here bytes pass, and nothing is dialled that device.yaml does not
// name: what arrives can only choose among its workspaces, never an address.
import type { Logger } from 'pino';
import { SocketLink, type Target } from '../relay/entrance/socket-link.ts';
import type { OpenHeader } from '../relay/protocol/open.ts';
import { splice } from '../relay/protocol/splice.ts';
import type { Stream } from '../relay/protocol/stream.ts';

/** The workspaces of this device by name. */
export type Workspaces = ReadonlyMap<string, Target>;

export class Arrivals {
  readonly #workspaces: Workspaces;
  readonly #log: Logger;
  /** Streams since the start, by outcome of their dialling, for metrics. */
  accepted = 0;
  refused = 0;

  constructor(workspaces: Workspaces, log: Logger) {
    this.#workspaces = workspaces;
    this.#log = log;
  }

  readonly accept = (stream: Stream, header: OpenHeader): void => {
    const target = this.#workspaces.get(header.workspace);
    if (target === undefined) {
      this.refused += 1;
      stream.reset('workspace-unknown');
      return;
    }
    this.accepted += 1;
    splice(stream, new SocketLink(target), (reason, detail) => {
      if (reason === 'cancelled' || reason === 'tunnel-lost') return;
      this.#log.info({ workspace: header.workspace, reason, detail }, 'a stream broke');
    });
  };
}
