// How the entrance gets to a workspace. It is handed in: the relay opens a stream in a tunnel, a
// device on its LAN opens a socket.
import type { Link } from '../protocol/link.ts';
import type { Problem } from './pages.ts';
import type { Visitor } from './visitor.ts';

/**
 * A link to the workspace that `visitor.hostname` names, usable at once (bytes written before the
 * workspace has answered are kept in order), or the reason why there is none. Must not throw.
 */
export type Reach = (visitor: Visitor) => Link | Problem;
