// Where a visitor of a former name is sent: the same place at the present name. Made only of what was
// parsed and judged before: a hostname of ours, the port of the Host field, the target of the request.
import type { Fields } from './fields.ts';
import type { Problem } from './pages.ts';
import type { EntranceRequest } from './request.ts';

/** The field `Location`, when the problem is a move. */
export function locationFields(
  problem: Problem,
  request: Pick<EntranceRequest, 'host' | 'target'> | undefined,
): Fields {
  if (problem.kind !== 'moved' || request === undefined) return [];
  const colon = request.host.indexOf(':');
  const port = colon === -1 ? '' : request.host.slice(colon);
  return ['Location', `https://${problem.hostname}${port}${request.target}`];
}
