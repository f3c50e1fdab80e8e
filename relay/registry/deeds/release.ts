// Takes a name from its key. Nobody else gets it before its quarantine is over; its last owner may take
// it back. Names that led to it lead nowhere any more, and are released with it.
import type { DeviceName } from '../../../dns/name.ts';
import { actorText, type By } from '../actor.ts';
import type { Deed } from '../deed.ts';
import { record } from '../history.ts';
import { cancelOffer, cancelRecovery, dropDomains, formerNames } from './attachments.ts';
import { ownRow, quarantine } from './tenure.ts';

export interface Release {
  readonly name: DeviceName;
  readonly by: By;
}

/** A former name can be released before its grace is over. */
export function release({ name, by }: Release): Deed<void> {
  return async (scope) => {
    const row = await ownRow(scope, name, by);
    const actor = actorText(by);
    const { thumbprint } = row;
    const end = { actor, detail: 'the name was released' };
    await cancelRecovery(scope, name, end);
    await cancelOffer(scope, name, end);
    await dropDomains(scope, name, end);
    for (const former of await formerNames(scope, row)) {
      await quarantine(scope, former);
      await record(scope, 'released', { actor, name: former, thumbprint, detail: `with ${name}` });
    }
    await quarantine(scope, name);
    await record(scope, 'released', { actor, name, thumbprint });
  };
}
