// Whether the public name servers serve a value already: each is asked until it does, or until the
// deadline. A CA that is told too early sees the old zone, and a failed order costs minutes; a poll of
// tens of milliseconds costs nothing.
import { setTimeout as pause } from 'node:timers/promises';
import { encodeName } from './domain-name.ts';
import { type Answer, ask, makeQuestion } from './exchange.ts';
import { readName } from './message-layout.ts';
import { rdataText } from './rdata.ts';
import { CLASS, typeName } from './record.ts';

const PROPAGATION_LIMITS = {
  /** A packet that was lost is asked for again; the way there and back takes less, world-wide. */
  answerMs: 1_000,
  /** Secondaries have a change within a tenth of a second as a rule. */
  firstPauseMs: 20,
  /** One that takes longer waits for a reload or a retry, which take a second or more. */
  pauseMsMax: 500,
} as const;

/** A name server that the world asks. */
export interface PublicServer {
  readonly name: string;
  /** All of the same server; asked in turn, because not every network reaches both families. */
  readonly addresses: readonly string[];
  readonly port: number;
}

export interface PropagationQuestion {
  readonly servers: readonly PublicServer[];
  /** Absolute, with or without its last dot. */
  readonly owner: string;
  readonly type: number;
  /** RDATA in wire form, as in a RecordSet. Other values beside it do not matter. */
  readonly value: Buffer;
  /** Ends the waiting; it must abort some time, because nothing else ends it. */
  readonly signal: AbortSignal;
}

export interface ServerReport {
  readonly name: string;
  readonly served: boolean;
  /** Since the beginning: when it was first seen to serve the value, or when the waiting ended. */
  readonly afterMs: number;
  readonly asked: number;
  /** What the last answer held, as presentation text, or why there was none. */
  readonly found: string;
}

export interface PropagationReport {
  readonly everywhere: boolean;
  readonly servers: readonly ServerReport[];
}

export async function servedEverywhere(question: PropagationQuestion): Promise<PropagationReport> {
  const servers = await Promise.all(question.servers.map((server) => served(server, question)));
  return { everywhere: servers.every((each) => each.served), servers };
}

/** Never rejects: what went wrong is what was found. */
async function served(
  { name, addresses, port }: PublicServer,
  { owner, type, value, signal: end }: PropagationQuestion,
): Promise<ServerReport> {
  const nameWire = encodeName(owner);
  if (nameWire === undefined) throw new Error(`${owner} is no domain name.`);
  const startedMs = performance.now();
  let asked = 0;
  let found = 'nothing was asked';
  let pauseMs: number = PROPAGATION_LIMITS.firstPauseMs;
  const report = (isServed: boolean): ServerReport => ({
    name,
    served: isServed,
    afterMs: Math.round(performance.now() - startedMs),
    asked,
    found,
  });
  while (!end.aborted) {
    const address = addresses[asked % addresses.length];
    if (address === undefined) {
      found = 'nobody knows its address';
      break;
    }
    asked += 1;
    const signal = AbortSignal.any([end, AbortSignal.timeout(PROPAGATION_LIMITS.answerMs)]);
    try {
      const answer = await ask(makeQuestion(nameWire, type), { address, port }, { signal });
      const values = valuesOf(answer, type);
      found = values.length === 0 ? `no ${typeName(type)} record` : textOf(type, values);
      if (values.some((each) => each.equals(value))) return report(true);
    } catch (error) {
      // What the last whole answer said tells more than that the deadline cut this one off.
      if (!end.aborted) found = `no answer (${error instanceof Error ? error.message : error})`;
    }
    await pause(pauseMs, undefined, { signal: end }).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 1.5, PROPAGATION_LIMITS.pauseMsMax);
  }
  return report(false);
}

function textOf(type: number, values: readonly Buffer[]): string {
  return values.map((value) => rdataText(type, value)).join(', ');
}

/** The RDATA of the records asked for. Compressed names in it make no difference to TXT and addresses. */
function valuesOf({ message, layout }: Answer, type: number): Buffer[] {
  const { question, records } = layout;
  return records
    .filter((record) => record.section === 'answer' && record.type === type)
    .filter((record) => record.class === CLASS.IN)
    .filter((record) => readName(message, record.start)?.wire.equals(question.name) === true)
    .map((record) => message.subarray(record.dataStart, record.end));
}
