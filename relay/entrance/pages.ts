// What a visitor is told when there is no answer from a workspace: as a page for a person, as plain
// text for a terminal, or as RFC 9457 JSON for a program, whichever `Accept` prefers. A page says
// what happened, why as far as known, and what to do next; it names nothing that is not in the
// address already.
import type { Hostname } from '../../dns/name.ts';
import { acceptedForm } from './accept.ts';
import { htmlPage } from './page-html.ts';
import { printable } from './printable.ts';

export type Problem =
  | { readonly kind: 'no-such-name' }
  | { readonly kind: 'no-such-workspace' }
  /** The name was changed; what is at `hostname` now is what was here. */
  | { readonly kind: 'moved'; readonly hostname: Hostname }
  /** No device of that name is connected. `sinceMs`: epoch time of the last one's leaving. */
  | { readonly kind: 'device-away'; readonly sinceMs?: number }
  | { readonly kind: 'workspace-unreachable' }
  | { readonly kind: 'workspace-timeout' }
  | { readonly kind: 'workspace-broke' }
  | { readonly kind: 'bad-response' }
  | { readonly kind: 'bad-request'; readonly status: number; readonly detail: string }
  | { readonly kind: 'misdirected' }
  /** Where certificate authorities look for proofs; never a workspace's. */
  | { readonly kind: 'challenge-path' }
  | { readonly kind: 'too-many-requests' }
  | { readonly kind: 'too-many-streams' }
  | { readonly kind: 'relay-draining' }
  | { readonly kind: 'internal' };

export interface PageContext {
  /** As the visitor asked for it; `undefined` when he named none that can be repeated. */
  readonly hostname: string | undefined;
  /** The request's Accept field, joined by commas when there were several. */
  readonly accept: string | undefined;
  /** The device's name, where the caller knows which part of the hostname it is. */
  readonly device?: string;
  readonly nowMs?: number;
}

export interface ProblemPage {
  readonly status: number;
  /** Flat [name, value, ...], names in lower case so that they fit every version of HTTP. */
  readonly fields: string[];
  /** For HEAD the caller sends the fields alone. */
  readonly body: Buffer;
}

/** What is said about a problem, before it is put into one of the three forms. */
export interface ProblemText {
  readonly kind: Problem['kind'];
  readonly status: number;
  readonly title: string;
  /** What happened and why, in whole sentences. */
  readonly detail: string;
  /** What the visitor can do. */
  readonly next: string;
  /** When it is worth trying again. */
  readonly retryAfterS?: number;
  /** How long the answer may be kept; otherwise not at all. */
  readonly maxAgeS?: number;
  /** ISO 8601, for `device-away`. */
  readonly since?: string;
}

export function problemPage(problem: Problem, context: PageContext): ProblemPage {
  const text = problemText(problem, context);
  const form = acceptedForm(context.accept);
  const body = Buffer.from(FORMS[form].write(text));
  const fields = [
    ...['content-type', FORMS[form].type],
    ...['content-length', String(body.length)],
    ...['cache-control', text.maxAgeS === undefined ? 'no-store' : `max-age=${text.maxAgeS}`],
    ...['x-content-type-options', 'nosniff'],
    ...['referrer-policy', 'no-referrer'],
    ...['content-security-policy', "default-src 'none'; style-src 'unsafe-inline'"],
  ];
  if (text.retryAfterS !== undefined) fields.push('retry-after', String(text.retryAfterS));
  return { status: text.status, fields, body };
}

const FORMS = {
  html: { type: 'text/html; charset=utf-8', write: htmlPage },
  json: { type: 'application/problem+json', write: problemJson },
  text: { type: 'text/plain; charset=utf-8', write: plainText },
} as const;

/** RFC 9457. The type is a name, not an address: nothing has to be online to understand it. */
function problemJson(text: ProblemText): string {
  const { kind, status, title, detail, next, since } = text;
  const type = `urn:waygate:problem:${kind}`;
  return `${JSON.stringify({ type, title, status, detail, next, since })}\n`;
}

function plainText(text: ProblemText): string {
  return `${text.status} ${text.title}\n\n${text.detail}\n${text.next}\n`;
}

function problemText(problem: Problem, context: PageContext): ProblemText {
  const host = context.hostname === undefined ? 'this address' : printable(context.hostname, 253);
  if (problem.kind === 'device-away') return deviceAway(problem.sinceMs, host, context);
  if (problem.kind === 'bad-request') {
    const detail = `The request was refused: ${printable(problem.detail, 300)}.`;
    const title = BAD_REQUEST_TITLES[problem.status] ?? 'Bad request';
    return { ...TEXTS['bad-request'], kind: problem.kind, status: problem.status, title, detail };
  }
  const text = TEXTS[problem.kind];
  if (problem.kind === 'moved') {
    const detail = `What was at ${host} is at ${problem.hostname} now.`;
    return { ...text, kind: problem.kind, detail };
  }
  return { ...text, kind: problem.kind, detail: text.detail.replaceAll('HOST', () => host) };
}

function deviceAway(sinceMs: number | undefined, host: string, context: PageContext): ProblemText {
  const text = { ...TEXTS['device-away'], kind: 'device-away' as const };
  const device =
    context.device === undefined
      ? `The device behind ${host}`
      : `The device ${printable(context.device, 63)}`;
  if (sinceMs === undefined || !Number.isFinite(sinceMs) || Math.abs(sinceMs) > DATE_MS_MAX) {
    return { ...text, detail: `${device} is not connected.` };
  }
  const since = new Date(sinceMs).toISOString();
  const minute = `${since.slice(0, 10)} ${since.slice(11, 16)} UTC`;
  const age = duration((context.nowMs ?? Date.now()) - sinceMs);
  return { ...text, detail: `${device} has been away since ${minute} (${age}).`, since };
}

/** ECMA-262: no Date is further from the epoch. */
const DATE_MS_MAX = 8.64e15;

function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 60) return counted(minutes, 'minute');
  if (minutes < 48 * 60) return counted(Math.floor(minutes / 60), 'hour');
  return counted(Math.floor(minutes / (24 * 60)), 'day');
}

function counted(count: number, unit: string): string {
  return count === 1 ? `1 ${unit}` : `${count} ${unit}s`;
}

type Text = Omit<ProblemText, 'kind' | 'since'>;

const LATER = 'Try again in a moment.';
const OWNER_LOOKS = 'If this is your device, its log tells more.';

const TEXTS: Readonly<Record<Problem['kind'], Text>> = {
  'no-such-name': {
    status: 404,
    title: 'No such name',
    detail: 'Nothing is known here by the name HOST.',
    next: 'Check the spelling of the address. A new name works once its device has connected.',
  },
  'no-such-workspace': {
    status: 404,
    title: 'No such workspace',
    detail: 'The device is connected, but it has no workspace at HOST.',
    next: 'Check the first part of the address. The owner chooses which workspaces a device offers.',
  },
  moved: {
    status: 308,
    title: 'This address has changed',
    detail: '',
    next: 'Browsers follow by themselves. Save the new address: this one ends after some weeks.',
    // A permanent redirect is kept for ever otherwise, and a name may be changed back.
    maxAgeS: 60,
  },
  'device-away': {
    status: 503,
    title: 'The device is away',
    detail: '',
    next: 'It may be switched off, or without Internet. This address works again once it is back.',
    retryAfterS: 15,
  },
  'workspace-unreachable': {
    status: 502,
    title: 'The workspace is not running',
    detail: 'The device is connected, but the workspace at HOST takes no connections.',
    next: 'Start the workspace on the device, or check the address that the device has for it.',
    retryAfterS: 15,
  },
  'workspace-timeout': {
    status: 504,
    title: 'The workspace does not answer',
    detail:
      'The device is connected, but the workspace at HOST did not take the connection in time.',
    next: `It may be starting, or be overloaded. ${LATER}`,
    retryAfterS: 15,
  },
  'workspace-broke': {
    status: 502,
    title: 'The connection broke',
    detail: 'The connection to the workspace at HOST broke before its answer was complete.',
    next: `Whether the request was carried out is not known. ${OWNER_LOOKS}`,
  },
  'bad-response': {
    status: 502,
    title: 'The workspace sent an invalid answer',
    detail: 'The answer of the workspace at HOST is not correct HTTP, so it was not passed on.',
    next: OWNER_LOOKS,
  },
  'bad-request': {
    status: 400,
    title: 'Bad request',
    detail: '',
    next: 'If a program sent it, that program has to be corrected. In a browser, try a new window.',
  },
  misdirected: {
    status: 421,
    title: 'Wrong connection',
    detail: 'The request for HOST came over a connection that was opened for another name.',
    next: 'Open the address again in a new connection. Browsers do so by themselves.',
  },
  'challenge-path': {
    status: 404,
    title: 'Not a place for workspaces',
    detail:
      'What is below /.well-known/acme-challenge/ and /.well-known/pki-validation/ proves to certificate ' +
      'authorities who holds HOST, so the relay answers here itself, and no workspace does.',
    next: 'The relay gets the certificates for its names. A program that asks for one has to stop it.',
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    detail: 'More requests came from your address than are accepted at a time.',
    next: LATER,
    retryAfterS: 5,
  },
  'too-many-streams': {
    status: 503,
    title: 'The device is busy',
    detail: 'The device behind HOST has as many open connections as it can serve.',
    next: LATER,
    retryAfterS: 5,
  },
  'relay-draining': {
    status: 503,
    title: 'Restarting',
    detail: 'The server that carries HOST is being restarted.',
    next: LATER,
    retryAfterS: 2,
  },
  internal: {
    status: 500,
    title: 'Something went wrong',
    detail: 'A fault of this server kept the request for HOST from being answered.',
    next: `It has been logged. ${LATER}`,
  },
};

const BAD_REQUEST_TITLES: Readonly<Record<number, string>> = {
  405: 'Method not allowed',
  408: 'The request took too long',
  411: 'Length required',
  413: 'The request is too large',
  414: 'The address is too long',
  417: 'Expectation failed',
  426: 'Upgrade required',
  431: 'The header is too large',
  501: 'Not implemented',
  505: 'HTTP version not supported',
};
