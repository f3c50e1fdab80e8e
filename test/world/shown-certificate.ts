// The certificate that a server shows for a name, to a visitor who trusts what he is told to trust.
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { Door } from './visits.ts';

const HANDSHAKE_MS = 15_000;

/** A whole handshake; rejects when the name or the chain is not right. */
export async function shownCertificate(
  { address, port, caPem }: Door,
  servername: string,
): Promise<X509Certificate> {
  const socket = connect({ host: address, port, servername, ca: caPem });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(HANDSHAKE_MS) });
    const shown = socket.getPeerX509Certificate();
    if (shown === undefined) throw new Error(`${servername}: no certificate`);
    return shown;
  } finally {
    socket.destroy();
  }
}
