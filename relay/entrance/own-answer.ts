// Requests that the entrance answers itself though it could pass them on, whichever version of HTTP
// they came by.
import { isChallengePath } from './challenge-path.ts';
import type { Problem } from './pages.ts';
import type { EntranceRequest } from './request.ts';
import type { VisitParts } from './visit-parts.ts';
import type { Visitor } from './visitor.ts';

/** What a well-formed request is answered instead of reaching its workspace; undefined: it goes on. */
export function ownAnswer(
  { rate }: Pick<VisitParts, 'rate'>,
  visitor: Visitor,
  request: EntranceRequest,
): Problem | undefined {
  if (rate?.exceeded(visitor.address) === true) return { kind: 'too-many-requests' };
  return isChallengePath(request.target) ? { kind: 'challenge-path' } : undefined;
}
