// What owners are told of what they, their devices, or time have done. Each notice is the queries that
// keep its letter, to be run in the transaction of the deed (`also` in registry/deed.ts): neither is there
// without the other. Who has no address is not told, and where there is no mail server, nobody is.
import type { Logger } from 'pino';
import type { DomainChange } from '../domains/report.ts';
import type { RegistryWork } from '../registry/database.ts';
import type { Lapsed } from '../registry/deeds/lapse.ts';
import type { Renamed } from '../registry/deeds/rename.ts';
import { keepLetter } from '../registry/letters.ts';
import { listNames } from '../registry/listings.ts';
import { ownerById } from '../registry/sign-in.ts';
import {
  domainLetter,
  type Letter,
  recoveryBegunLetter,
  recoveryEndedLetter,
  renamedLetter,
  type Sender,
  transferredLetter,
} from './letters.ts';
import type { Post } from './post.ts';

export interface NoticeParts {
  readonly sender: () => Sender;
  /** Who sends what is kept; absent: nobody. */
  readonly post: Pick<Post, 'soon'> | undefined;
  readonly clockMs: () => number;
  readonly log: Logger;
}

export type Notice = RegistryWork<void>;

type Write = (sender: Sender, to: string) => Letter;

export class OwnerNotices {
  readonly #parts: NoticeParts;

  constructor(parts: NoticeParts) {
    this.#parts = parts;
  }

  /**
   * The deed is refused when this letter cannot be kept: whoever could object would not know. The delay
   * begins with the letter's end.
   */
  recoveryBegun(
    ownerId: string,
    recovery: { readonly id: string; readonly name: string; readonly delayMs: number },
  ): Notice {
    return this.#tell(ownerId, (sender, to) => recoveryBegunLetter(sender, to, recovery));
  }

  recoveryEnded(
    ownerId: string,
    ended: { readonly name: string; readonly how: 'done' | 'vetoed' | 'withdrawn' },
  ): Notice {
    return this.#tell(ownerId, (sender, to) => recoveryEndedLetter(sender, to, ended));
  }

  renamed(former: string, renamed: Renamed): Notice {
    return this.#tellHolder(renamed.name, (sender, to) =>
      renamedLetter(sender, to, { ...renamed, former }),
    );
  }

  transferred(fromOwnerId: string, name: string): Notice {
    return this.#tell(fromOwnerId, (sender, to) => transferredLetter(sender, to, name));
  }

  /** What has become of a domain of one's own. */
  domain(change: DomainChange): Notice {
    return this.#tellHolder(change.name, (sender, to) => domainLetter(sender, to, change));
  }

  /** What time has done. */
  lapsed(lapsed: readonly Lapsed[]): readonly Notice[] {
    return lapsed.flatMap((each) => {
      if (each.kind !== 'recovered' && each.kind !== 'recovery-withdrawn') return [];
      const how = each.kind === 'recovered' ? 'done' : 'withdrawn';
      return [this.recoveryEnded(each.ownerId, { name: each.name, how })];
    });
  }

  #tellHolder(name: string, write: Write): Notice {
    return async (db) => {
      const [row] = await listNames({ name, limit: 1 })(db);
      if (row?.ownerId !== undefined) await this.#tell(row.ownerId, write)(db);
    };
  }

  #tell(ownerId: string, write: Write): Notice {
    const { sender, post, clockMs, log } = this.#parts;
    return async (db) => {
      if (post === undefined) return;
      const to = (await ownerById(ownerId)(db))?.email;
      if (to === undefined) return;
      const letter = write(sender(), to);
      const kept = await keepLetter(letter, clockMs())(db);
      if (kept) post.soon();
      else
        log.error(
          { subject: letter.subject },
          'mail: too many wait for one address; one is dropped',
        );
    };
  }
}
