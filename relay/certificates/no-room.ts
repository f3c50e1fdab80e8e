// An order that is not begun, for no budget has room for it (registry/certificates/budget.ts): until when it
// waits, what is there meanwhile, and how people are told of both.
import type { Hostname } from '../../dns/name.ts';
import type { Spent } from '../registry/certificates/budget.ts';
import type { Job } from '../registry/certificates/job.ts';
import { SHARE_LIMITS } from '../registry/certificates/order-share.ts';

export interface Later {
  readonly waitUntilMs: number;
  readonly why: string;
}

/** Found out on the way; the order is not begun. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom';
  readonly later: Later;

  constructor(later: Later) {
    super(later.why);
    this.later = later;
  }
}

/** Of whatever else went wrong it is thrown on. */
export function laterOf(error: unknown): Later {
  if (error instanceof NoRoom) return error.later;
  throw error;
}

type Refusal = Extract<Spent, { ok: false }>;

export function noRoom(
  job: Pick<Job, 'purpose' | 'subject' | 'present' | 'lastError'>,
  { ca, zone }: { readonly ca: string; readonly zone: Hostname },
  { which, untilMs }: Refusal,
): Later {
  // Of a domain that fails again and again, people want to know why, and not how often that may be.
  if (which === 'perDomainPerHour' && job.lastError !== undefined) {
    return { waitUntilMs: untilMs, why: job.lastError };
  }
  const { purpose, subject, present } = job;
  const alone = purpose === 'relay' && present === undefined && subject !== zone;
  const meanwhile = alone
    ? ` Until then ${subject} is served with the certificate of ${zone}, which is not good for what is below ${subject}.`
    : '';
  const until = `${new Date(untilMs).toISOString().slice(0, 16)}Z`;
  const why = `${reasonOf(which, ca)} It waits for room until ${until}.${meanwhile}`;
  return { waitUntilMs: untilMs, why };
}

function reasonOf(which: Refusal['which'], ca: string): string {
  switch (which) {
    case 'perDevicePerWeek':
      return `Its device has had ${SHARE_LIMITS.perDevicePerWeek} new certificates of ${ca} within seven days, which is the share of a device.`;
    case 'perOwnerPerWeek':
      return `The names of its owner have had as many new certificates of ${ca} within seven days as is the share of an owner.`;
    case 'perOwnerPer3Hours':
      return `Its owner has had as many orders at ${ca} within three hours as is the share of an owner.`;
    default:
      return `The budget of ${ca} is spent (${which}).`;
  }
}
