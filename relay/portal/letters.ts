// The letters that owners get: plain text, short, each with what happened and what to do about it.
import type { DomainChange } from '../domains/report.ts';

export interface Letter {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** What somebody can do only as long as it is not too late: it must not be lost to others. */
  readonly urgent?: boolean;
  /** The recovery that it tells of (registry/recovery-due.ts). */
  readonly recovery?: string;
  readonly secret?: undefined;
}

/** Whoever reads it can do something by it; it is never stored (secret-mail.ts). */
export interface SecretLetter extends Omit<Letter, 'secret'> {
  readonly secret: { readonly signInLink?: string };
}

/** Where the portal is, in the letter's links: `https://my.vendor.dev`. */
export interface Sender {
  readonly origin: string;
  readonly zone: string;
}

export function signInLetter(sender: Sender, to: string, link: string): SecretLetter {
  return {
    ...letter(sender, to, `Sign in to ${new URL(sender.origin).hostname}`, [
      'Somebody, probably you, wants to sign in with this address. Open this link and confirm:',
      link,
      'It works once, within 15 minutes. If it was not you, do nothing.',
    ]),
    secret: { signInLink: link },
  };
}

export function recoveryBegunLetter(
  sender: Sender,
  to: string,
  { id, name, delayMs }: { readonly id: string; readonly name: string; readonly delayMs: number },
): Letter {
  return {
    ...letter(sender, to, `${name} is about to move to another device`, [
      `A new device asks for the name ${name}.${sender.zone}. You, or somebody who is signed in as ` +
        `you, confirmed it. It gets the name ${durationText(delayMs)} after this letter was sent; ` +
        'until then the old device goes on serving.',
      `If you did not do this, stop it before that time, which this page shows: ` +
        `${sender.origin}/names/${name}`,
      'Then end all sessions there and change the password of your mail account.',
    ]),
    urgent: true,
    recovery: id,
  };
}

export function recoveryEndedLetter(
  sender: Sender,
  to: string,
  { name, how }: { readonly name: string; readonly how: 'done' | 'vetoed' | 'withdrawn' },
): Letter {
  const full = `${name}.${sender.zone}`;
  const words = {
    done: [
      `${name} has moved to the new device`,
      `The name ${full} belongs to the new device now.`,
    ],
    vetoed: [
      `${name} stays with its device`,
      `The move of ${full} to another device was stopped. It stays where it is.`,
    ],
    withdrawn: [
      `${name} stays with its device`,
      `The move of ${full} to another device was called off. It stays where it is.`,
    ],
  } as const;
  const [subject, text] = words[how];
  return letter(sender, to, subject, [text, `Your names: ${sender.origin}/`]);
}

export function transferOfferedLetter(
  sender: Sender,
  to: string,
  {
    name,
    code,
    expiresAtMs,
  }: {
    readonly name: string;
    readonly code: string;
    readonly expiresAtMs: number;
  },
): SecretLetter {
  const offer = letter(sender, to, `You are offered the name ${name}`, [
    `The owner of ${name}.${sender.zone} offers it to you, with the device that serves it.`,
    `To take it, sign in with this address at ${sender.origin}/transfer and enter this code:`,
    code,
    `The offer ends on ${dateText(expiresAtMs)}. If you do not want it, do nothing.`,
  ]);
  return { ...offer, secret: {} };
}

export function transferredLetter(sender: Sender, to: string, name: string): Letter {
  return letter(sender, to, `${name} has a new owner`, [
    `The name ${name}.${sender.zone} was accepted by the person whom you offered it to. It is ` +
      'theirs now, with its device.',
    `Your names: ${sender.origin}/`,
  ]);
}

export function renamedLetter(
  sender: Sender,
  to: string,
  {
    name,
    former,
    formerUntilMs,
  }: {
    readonly name: string;
    readonly former: string;
    readonly formerUntilMs: number;
  },
): Letter {
  return letter(sender, to, `${former} is called ${name} now`, [
    `Your device ${former}.${sender.zone} is called ${name}.${sender.zone} now. The old name leads ` +
      `to the new one until ${dateText(formerUntilMs)}.`,
    `If this was not you: ${sender.origin}/names/${name}`,
  ]);
}

/** What has become of a domain of one's own. */
export function domainLetter(sender: Sender, to: string, change: DomainChange): Letter {
  const { kind, domain, name, untilMs } = change;
  const device = `${name}.${sender.zone}`;
  const look = `The entries that it needs, and checking again: ${sender.origin}/domains/${domain}`;
  const end = untilMs === undefined ? 'soon' : `on ${dateText(untilMs)}`;
  const found = change.steps.map(foundText).join('\n\n');
  switch (kind) {
    case 'failing':
      return letter(sender, to, `${domain} fails its checks`, [
        `The domain ${domain}, which leads to ${device}, does not pass its checks any more. It is ` +
          `still served; if nothing changes, that ends ${end}.`,
        ...(found === '' ? [] : [found]),
        look,
      ]);
    case 'suspended':
      return letter(sender, to, `${domain} is not served any more`, [
        `The domain ${domain} has failed its checks for too long, so it does not lead to ${device} ` +
          'any more. Your other names and domains are as before. It is served again by itself ' +
          'once its checks succeed.',
        ...(found === '' ? [] : [found]),
        look,
      ]);
    case 'back':
      return letter(sender, to, `${domain} is served again`, [
        `The domain ${domain} passes its checks again and leads to ${device}.`,
        `Your domains: ${sender.origin}/domains`,
      ]);
    case 'lost':
      return letter(sender, to, `${domain} belongs to another account now`, [
        `Somebody else has proven by the DNS of ${domain} that it is theirs, while your own proof ` +
          `was not to be found. It does not lead to ${device} any more.`,
        'If it is yours, look at who can change its DNS, take out what you have not entered, and ' +
          `add the domain again: ${sender.origin}/domains`,
      ]);
  }
}

function foundText({ found, expected, next }: DomainChange['steps'][number]): string {
  const todo = next === undefined ? '' : `\n  What to do: ${next}`;
  return `  Found: ${found}\n  Expected: ${expected}${todo}`;
}

/** `24 hours`, in the largest unit that leaves nothing over. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const [unit, size] =
    seconds % 3_600 === 0 ? ['hour', 3_600] : seconds % 60 === 0 ? ['minute', 60] : ['second', 1];
  const count = seconds / size;
  return count === 1 ? `${count} ${unit}` : `${count} ${unit}s`;
}

/** `2026-11-21 14:36 UTC` */
function dateText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function letter(
  { origin }: Sender,
  to: string,
  subject: string,
  paragraphs: readonly string[],
): Letter {
  const { hostname } = new URL(origin);
  return { to, subject, text: `${[...paragraphs, `-- \n${hostname}`].join('\n\n')}\n` };
}
