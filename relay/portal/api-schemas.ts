// What goes in and out of the owners' API, as JSON Schema: requests are refused by these, answers are
// written by these, and the OpenAPI document is made of them. Nothing that is not named here is taken.
import { SERVER_LIMITS } from './server.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Texts are bounded here and parsed where they are used. */
const TEXT_LIMITS = {
  /** Longer than any name, so that a person is told what a name may be. */
  nameCharsMax: 64,
  /** The longest code with hyphens and spaces. */
  codeCharsMax: 48,
  /** RFC 5321, section 4.5.3.1. */
  emailCharsMax: 254,
  /** One more than a domain can have, so that a person is told what one may be. */
  domainCharsMax: 254,
  /** Of ids, sessions and cursors. */
  idCharsMax: 64,
} as const;

export const text = { type: 'string' } as const;
export const moment = { type: 'string', format: 'date-time' } as const;
export const name = {
  type: 'string',
  description: 'A name without the zone: `alice`.',
  minLength: 1,
  maxLength: TEXT_LIMITS.nameCharsMax,
} as const;
export const domain = {
  type: 'string',
  description: 'A domain of somebody’s own: `app.example.org`.',
  minLength: 1,
  maxLength: TEXT_LIMITS.domainCharsMax,
} as const;
export const workspace = {
  type: 'string',
  description: 'The name of a workspace; without it the whole device.',
  maxLength: TEXT_LIMITS.nameCharsMax,
} as const;
export const flag = { type: 'boolean' } as const;
const waitsForMail = {
  ...flag,
  description:
    'Its time begins when the mail server has taken the letter about it: not before `dueAt`.',
} as const;
export const code = {
  type: 'string',
  description: 'In any spelling: hyphens, spaces and case do not matter.',
  minLength: 1,
  maxLength: TEXT_LIMITS.codeCharsMax,
} as const;
export const email = {
  type: 'string',
  minLength: 3,
  maxLength: TEXT_LIMITS.emailCharsMax,
  pattern: '^[^\\s@<>,;:"()\\[\\]\\\\]+@[^\\s@<>,;:"()\\[\\]\\\\]+$',
} as const;
export const id = {
  type: 'string',
  pattern: '^[A-Za-z0-9_-]+$',
  minLength: 1,
  maxLength: TEXT_LIMITS.idCharsMax,
} as const;
/** A number in a query; texts are not turned into numbers by themselves. */
export const count = { type: 'string', pattern: '^[1-9][0-9]{0,14}$' } as const;

/** An object of which every field must be there, and no other may be. */
export function object(properties: Schema, optional: readonly string[] = []): Schema {
  return {
    type: 'object',
    additionalProperties: false,
    required: Object.keys(properties).filter((key) => !optional.includes(key)),
    properties,
  };
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}

export function orNull(schema: Schema): Schema {
  return { ...schema, type: [schema['type'], 'null'] };
}

export const nameView = object({
  name: text,
  url: { type: 'string', format: 'uri' },
  state: { type: 'string', enum: ['held', 'former', 'ordered', 'quarantined'] },
  device: { ...orNull(text), description: 'Fingerprint of the device key (RFC 7638).' },
  software: orNull(text),
  lastSeenAt: orNull(moment),
  claimedAt: moment,
  successor: { ...orNull(text), description: 'Of a former name: the name that it leads to.' },
  until: { ...orNull(moment), description: 'When the state ends.' },
  recovery: {
    ...orNull(object({ id: text, newDevice: text, begunAt: moment, dueAt: moment, waitsForMail })),
    description: 'The name goes to another device then, if nobody objects.',
  },
  transfer: orNull(object({ toEmail: text, expiresAt: moment })),
});

export const domainView = object({
  domain: text,
  url: { type: 'string', format: 'uri' },
  name: { ...text, description: 'The name of the device that it leads to.' },
  workspace: orNull(text),
  wildcard: { ...flag, description: 'With every name one label below.' },
  state: {
    type: 'string',
    enum: ['pending', 'proven', 'suspended'],
    description: 'suspended: it was proven, and is not served until its checks succeed again.',
  },
  live: { ...flag, description: 'Every step is done.' },
  entries: {
    ...list(
      object({
        type: { type: 'string', enum: ['CNAME', 'A', 'AAAA', 'TXT'] },
        owner: text,
        value: text,
        why: text,
        needed: {
          type: 'string',
          enum: ['yes', 'one-of', 'wildcard'],
          description: 'one-of: the CNAME, or the addresses.',
        },
      }),
    ),
    description: 'What has to be entered in the DNS of the domain.',
  },
  steps: {
    ...list(
      object({
        step: { type: 'string', enum: ['proof', 'routing', 'caa', 'certificate', 'live'] },
        state: {
          type: 'string',
          enum: ['ok', 'waiting', 'wrong'],
          description: 'wrong: somebody has to change something.',
        },
        found: text,
        expected: text,
        next: { ...orNull(text), description: 'What to do.' },
      }),
    ),
    description: 'In the order in which they come about.',
  },
  checkedAt: orNull(moment),
  secondsAgo: {
    ...orNull({ type: 'integer' }),
    description: 'Of a check: somebody had just looked, so long ago, and this is what he found.',
  },
  againInSeconds: {
    ...orNull({ type: 'integer' }),
    description: 'Then it is looked at again, as this was asked for.',
  },
});

export const claimView = object({
  device: { ...text, description: 'Fingerprint of the device key; compare it with the device.' },
  software: orNull(text),
  address: { ...text, description: 'Where the device asked from.' },
  wantedName: orNull(text),
  openedAt: moment,
  expiresAt: moment,
});

export const sessionView = object({
  id: text,
  current: { type: 'boolean' },
  issuedAt: moment,
  expiresAt: moment,
});

export const recoveryView = object({
  id: text,
  name: text,
  oldDevice: text,
  newDevice: text,
  begunAt: moment,
  dueAt: moment,
  waitsForMail,
});

export const historyView = object({
  id: { type: 'integer' },
  at: moment,
  what: text,
  by: { type: 'string', enum: ['you', 'owner', 'device', 'operator', 'clock'] },
  device: orNull(text),
});

const problemView = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'next'],
  additionalProperties: false,
  properties: {
    type: { ...text, description: '`urn:waygate:problem:` and a word.' },
    title: text,
    status: { type: 'integer' },
    detail: text,
    next: { ...text, description: 'What to do now.' },
  },
};

function problems(description: string) {
  return { description, content: { 'application/problem+json': { schema: problemView } } };
}

/** The parts of a route that fastify judges requests by and writes answers with. */
export function route(
  summary: string,
  parts: {
    readonly params?: Schema;
    readonly body?: Schema;
    readonly querystring?: Schema;
    /** Absent: 204 without a body. */
    readonly answer?: Schema;
    readonly status?: number;
    readonly open?: true;
  },
): Schema {
  const { answer, status = answer === undefined ? 204 : 200, open, ...input } = parts;
  const done =
    answer === undefined
      ? { description: 'Done.', type: 'null' }
      : { description: 'Done.', ...answer };
  return {
    summary,
    ...(open === true ? {} : { security: [{ session: [] }] }),
    // A route that says nothing of them takes none.
    querystring: object({}),
    ...input,
    response: {
      [status]: done,
      '4xx': problems('Refused; nothing has changed.'),
      '5xx': problems('A fault; whether something has changed is not known.'),
    },
  };
}

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'Waygate portal',
    version: '1',
    description:
      'What owners do with their names. Whoever is signed in at the portal has a session cookie; ' +
      'each change needs an `Origin` header with the address of the portal. Bodies are JSON of at ' +
      `most ${SERVER_LIMITS.bodyBytesMax} bytes.`,
  },
  components: {
    securitySchemes: {
      session: { type: 'apiKey', in: 'cookie', name: '__Host-waygate' },
    },
  },
} as const;
