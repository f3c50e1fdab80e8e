// Which device software the vendor still admits. A version that is known to be unsafe is refused, in
// the hello and by the device API, in words that tell its owner what to do.
import { coerce, gte, satisfies, valid, validRange } from 'semver';

export interface SoftwarePolicy {
  /** Of our own software, what it must have at least. */
  readonly minimumVersion?: string | undefined;
  /** Versions or ranges that are refused: `0.9.1`, `>=1.0.0 <1.0.5`; of other products `acme/<2.0.0`. */
  readonly refused?: readonly string[] | undefined;
  /** Where the owner of a device finds a better one. */
  readonly updateUrl?: string | undefined;
}

/** Why a software is refused. */
export interface SoftwareRefusal {
  /** As the device told it, without its product when that is ours. */
  readonly found: string;
  /** At least; undefined: another one than that which was found. */
  readonly needed: string | undefined;
  readonly updateUrl: string | undefined;
}

/** The policy's own rule for what may stand in `refused`, as the end of a sentence. */
export function refusedVersionFault(text: string): string | undefined {
  const [, range] = splitSoftware(text);
  if (text.length <= RANGE_CHARS_MAX && range !== '' && validRange(range) !== null)
    return undefined;
  return 'must be a version or a range, such as 0.9.1, ">=1.0.0 <1.0.5" or acme/0.9.1.';
}

export function minimumVersionFault(text: string): string | undefined {
  if (text.length <= VERSION_CHARS_MAX && valid(text) === text) return undefined;
  return 'must be a version of three numbers, such as 1.2.0.';
}

export function updateUrlFault(text: string): string | undefined {
  const fits = text.length <= UPDATE_URL_CHARS_MAX && /^https:\/\/[\x21-\x7e]+$/.test(text);
  if (fits && URL.canParse(text)) return undefined;
  return `must be an https:// address of at most ${UPDATE_URL_CHARS_MAX} characters.`;
}

/** Why the software of a hello may not connect, or `undefined` when it may. */
export function judgeSoftware(
  software: string,
  { minimumVersion, refused = [], updateUrl }: SoftwarePolicy,
): SoftwareRefusal | undefined {
  const [product, text] = splitSoftware(software);
  const ours = product === OURS;
  const version = valid(text) ?? (ours ? undefined : coerce(text)?.version);
  const found = ours ? text : software;
  const minimum = ours ? minimumVersion : undefined;
  const refusal = { found, needed: minimum, updateUrl };
  // What cannot be compared cannot be shown to be new enough.
  if (minimum !== undefined && (version === undefined || !gte(version, minimum))) return refusal;
  const named = refused.some((entry) => {
    const [entryProduct, range] = splitSoftware(entry);
    const names = entryProduct === product && version !== undefined;
    return names && satisfies(version, range, { includePrerelease: true });
  });
  return named ? { ...refusal, needed: undefined } : undefined;
}

/**
 * What the close frame of the hello says, after the code: at most 123 bytes in all (RFC 6455, section
 * 5.5), and readable as it stands, because an old device shows it so.
 */
export function closeWords({ found, needed, updateUrl }: SoftwareRefusal): string {
  const have = found.slice(0, VERSION_CHARS_MAX);
  return ['have', have, 'need', needed ?? 'another', updateUrl].filter(Boolean).join(' ');
}

const OURS = 'waygate';
/** `ERR_HELLO_SOFTWARE have V need V URL` must fit into 123 bytes. */
const VERSION_CHARS_MAX = 14;
const UPDATE_URL_CHARS_MAX = 64;
/** A person wrote it, about one fault of one version. */
const RANGE_CHARS_MAX = 200;

/** Without a product it is our own. */
function splitSoftware(text: string): readonly [product: string, version: string] {
  const slash = text.indexOf('/');
  return slash === -1 ? [OURS, text] : [text.slice(0, slash), text.slice(slash + 1)];
}
