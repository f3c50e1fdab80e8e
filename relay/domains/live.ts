// One visit to a domain, as a browser makes it: to the addresses that the world sees, with the domain in
// the handshake, by a certificate that covers it and chains up. Only ever to addresses of our relays: a
// domain may have any address, and nobody shall have us knock on other people's doors.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { printable } from '../entrance/printable.ts';

const LIVE_LIMITS = {
  /** For one address: a connection and a handshake, half-way around the world. */
  visitMs: 5_000,
  /** Of each family; when none of them takes a connection, others will not. */
  addressesMax: 4,
  /** Of what a certificate or a fault says, in a sentence. */
  textCharsMax: 160,
} as const;

export interface LiveQuestion {
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** PEM, in the place of the authorities that the system trusts. */
  readonly ca?: string | undefined;
}

export interface LiveOutcome {
  readonly live: boolean;
  /** A sentence. */
  readonly found: string;
}

export async function visit(question: LiveQuestion, signal: AbortSignal): Promise<LiveOutcome> {
  let last: LiveOutcome = { live: false, found: 'No address of ours is known to connect to.' };
  for (const address of question.addresses.slice(0, LIVE_LIMITS.addressesMax)) {
    last = await visitAt(address, question, signal);
    if (last.live || signal.aborted) return last;
  }
  return last;
}

async function visitAt(
  address: string,
  { hostname, port, ca }: LiveQuestion,
  end: AbortSignal,
): Promise<LiveOutcome> {
  const signal = AbortSignal.any([end, AbortSignal.timeout(LIVE_LIMITS.visitMs)]);
  const place = `${address} port ${port}`;
  const socket = connect({
    host: address,
    port,
    servername: hostname,
    ALPNProtocols: ['h2', 'http/1.1'],
    ...(ca === undefined ? {} : { ca }),
  });
  socket.on('error', () => undefined);
  try {
    await once(socket, 'secureConnect', { signal });
    return { live: true, found: `${place} answers by HTTPS, ${certificateWords(socket)}.` };
  } catch (error) {
    const why = signal.aborted ? 'no answer in time' : errorWords(error);
    return { live: false, found: `An HTTPS connection to ${place} failed: ${why}.` };
  } finally {
    socket.destroy();
  }
}

function certificateWords(socket: TLSSocket): string {
  const { issuer, valid_to: end } = socket.getPeerCertificate();
  const by = issuer?.O ?? issuer?.CN ?? 'an authority';
  return printable(`with a certificate of ${by} until ${end}`, LIVE_LIMITS.textCharsMax);
}

function errorWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable(text.replace(/\.$/, ''), LIVE_LIMITS.textCharsMax);
}
