// HTTPS records (type 65, RFC 9460) of a name, as a recursive resolver tells of them. Node asks for none, so
// the question is our own: to each resolver in turn, by UDP and, where the answer is cut, by TCP.
import { getServers } from 'node:dns';
import { decodeName, encodeName } from '../../dns/domain-name.ts';
import { type Answer, ask, makeQuestion, type NameServerAddress } from '../../dns/exchange.ts';
import { readName } from '../../dns/message-layout.ts';
import { TYPE } from '../../dns/record.ts';
import { decodeServiceBinding } from '../../dns/svcb.ts';
import type { Lookup } from './public-dns.ts';

const HTTPS_LIMITS = {
  /** Of one try; the next resolver is asked afterwards. */
  tryMs: 1_500,
  /** A packet may be lost once. */
  tries: 2,
} as const;

export interface HttpsRecord {
  /** Behind any aliases; without its last dot, like all names here. */
  readonly owner: string;
  /** 0: an alias. */
  readonly priority: number;
  /** Empty: the owner itself; of an alias: that there is no service. */
  readonly target: string;
  /** `alpn` → `h2,http/1.1`; what has no value is empty. */
  readonly parameters: ReadonlyMap<string, string>;
  /** As in a zone file: `1 . alpn=h2`. */
  readonly text: string;
}

/** Without resolvers those of the machine are asked. The signal ends it; it never rejects. */
export async function lookUpHttps(
  name: string,
  resolvers: readonly NameServerAddress[],
  signal: AbortSignal,
): Promise<Lookup<HttpsRecord>> {
  const { tries, tryMs } = HTTPS_LIMITS;
  const wire = encodeName(`${name}.`);
  if (wire === undefined) return { kind: 'failed', why: 'it is no domain name' };
  const servers = resolvers.length > 0 ? resolvers : getServers().flatMap(serverOf);
  let why = 'no resolver is known';
  for (let turn = 0; turn < tries * servers.length && !signal.aborted; turn += 1) {
    const server = servers[turn % servers.length];
    if (server === undefined) break;
    const once = AbortSignal.any([signal, AbortSignal.timeout(tryMs)]);
    try {
      const found = recordsOf(await ask(recursive(wire), server, { signal: once }));
      if (found.kind !== 'failed') return found;
      why = found.why;
    } catch (error) {
      why = once.aborted ? TOO_LATE : reasonOf(error);
    }
  }
  return { kind: 'failed', why: signal.aborted ? TOO_LATE : why };
}

const TOO_LATE = 'there was no answer in time';

/** Without a code it is ours: what came is no answer. */
function reasonOf(error: unknown): string {
  const unreachable = error instanceof Error && 'code' in error;
  return unreachable ? 'no resolver can be reached' : 'the answer was malformed';
}

function recursive(wire: Buffer): Buffer {
  const question = makeQuestion(wire, TYPE.HTTPS);
  question.writeUInt16BE(RECURSION_DESIRED, 2);
  return question;
}

const RECURSION_DESIRED = 0x0100;
const NO_ERROR = 0;
const NO_NAME = 3;

function recordsOf({ message, layout }: Answer): Lookup<HttpsRecord> {
  const { rcode, records } = layout;
  if (rcode === NO_NAME) return { kind: 'none', why: 'the name does not exist' };
  if (rcode !== NO_ERROR) return { kind: 'failed', why: `the resolver answers with code ${rcode}` };
  const values: HttpsRecord[] = [];
  for (const { section, type, start, dataStart, end } of records) {
    if (section !== 'answer' || type !== TYPE.HTTPS) continue;
    const owner = readName(message, start);
    const text = decodeServiceBinding(message.subarray(dataStart, end));
    // Who finds one malformed uses none of them (section 2.2).
    if (owner === undefined || text === undefined) return { kind: 'none', why: 'it is malformed' };
    values.push(recordOf(decodeName(owner.wire, 0)?.text ?? '.', text));
  }
  if (values.length > 0) return { kind: 'found', values };
  return { kind: 'none', why: 'the name has no such record' };
}

function recordOf(owner: string, text: string): HttpsRecord {
  const [priority = '', target = '', ...words] = text.split(' ');
  const parameters = words.map((word): [string, string] => {
    const equals = word.indexOf('=');
    return equals === -1 ? [word, ''] : [word.slice(0, equals), word.slice(equals + 1)];
  });
  return {
    ...{ owner: undotted(owner), priority: Number(priority), target: undotted(target), text },
    parameters: new Map(parameters),
  };
}

function undotted(name: string): string {
  return name.replace(/\.$/, '');
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353` */
function serverOf(text: string): NameServerAddress[] {
  const [, bracketed, four, port] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  return [{ address: bracketed ?? four ?? text, port: Number(port ?? DNS_PORT) }];
}

const DNS_PORT = 53;
