// Which host a request is for, and its target: judged against the name of the connection, so that
// what routes a request and what a workspace reads can never be two different names.
import { parseHostname } from '../../dns/name.ts';
import { isTargetCode } from './head.ts';
import { REFUSALS, type Refusal } from './refusal.ts';

/**
 * The canonical name and port of a Host field: `A.Vendor.DEV.:8443` is `a.vendor.dev:8443`.
 * `hostname` is the canonical name of the connection.
 */
export function judgeHost(value: string | undefined, hostname: string): string | Refusal {
  if (value === undefined) return REFUSALS.noHost;
  const colon = value.indexOf(':');
  const name = colon < 0 ? value : value.slice(0, colon);
  const port = colon < 0 ? '' : value.slice(colon);
  if (port !== '' && !isPort(port)) return REFUSALS.host;
  if (name === hostname) return value;
  const parsed: string | undefined = parseHostname(name);
  if (parsed === undefined) return REFUSALS.host;
  return parsed === hostname ? hostname + port : REFUSALS.otherHost;
}

/** The target in origin form. Its bytes are not changed: what is judged is what is sent. */
export function judgeTarget(target: string, host: string, hostname: string): string | Refusal {
  for (let at = 0; at < target.length; at += 1) {
    const code = target.charCodeAt(at);
    if (!isTargetCode(code) || code === HASH || code === BACKSLASH) return REFUSALS.targetCharacter;
    if (code === PERCENT && target.startsWith('00', at + 1)) return REFUSALS.targetCharacter;
  }
  return target.charCodeAt(0) === SLASH ? target : judgeAbsoluteTarget(target, host, hostname);
}

/** RFC 9112 section 3.2.2: the authority of an absolute form must be the same as Host. */
function judgeAbsoluteTarget(target: string, host: string, hostname: string): string | Refusal {
  const scheme = /^https?:\/\//i.exec(target)?.[0];
  if (scheme === undefined) return REFUSALS.targetForm;
  const rest = target.slice(scheme.length);
  const end = rest.search(/[/?]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  if (judgeHost(authority, hostname) !== host) return REFUSALS.targetHost;
  const path = end < 0 ? '' : rest.slice(end);
  return path.startsWith('/') ? path : `/${path}`;
}

/** A colon and a number from 1 to 65535 without leading zeros. */
function isPort(text: string): boolean {
  if (text.length < 2 || text.length > 6 || text.charCodeAt(1) === ZERO) return false;
  for (let at = 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return false;
  }
  return Number(text.slice(1)) <= 65_535;
}

const HASH = 35;
const PERCENT = 37;
const SLASH = 47;
const ZERO = 48;
const NINE = 57;
const BACKSLASH = 92;
