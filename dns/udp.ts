// One UDP socket: a packet in, at most one packet out, to where it came from, from the address that
// was asked. Nothing is kept between packets.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';

const UDP_LIMITS = {
  /** Queries wait there while the process is busy for a moment; the system may give less. */
  receiveBufferBytes: 4 * 1024 * 1024,
  /** Answers that the system did not take yet; beyond, none are made, and askers ask again. */
  sendQueueBytes: 1024 * 1024,
  /** Asking for the length of the queue costs as much as a look into the cache. */
  packetsPerQueueCheck: 64,
} as const;

export interface UdpEnd {
  readonly address: string;
  readonly port: number;
  /** Guarded: what cannot be sent is lost, as packets are. */
  send(message: Buffer, port: number, address: string): void;
  close(): Promise<void>;
}

export interface UdpEvents {
  readonly packet: (message: Buffer, from: RemoteInfo, end: UdpEnd) => void;
  /** Nothing can be sent to port 0; whoever tries gets an exception. */
  readonly portZero: () => void;
  readonly sendQueueFull: () => void;
  readonly error: (error: Error) => void;
}

export interface UdpPlace {
  readonly address: string;
  readonly port: number;
  /** Of `::` alone it matters: whether IPv4 is left to another socket. */
  readonly ipv6Only: boolean;
  /** Several processes share the port, and the system spreads packets over them. */
  readonly reusePort: boolean;
}

export async function openUdp(place: UdpPlace, events: UdpEvents): Promise<UdpEnd> {
  const family = isIPv6(place.address) ? 6 : 4;
  const socket = createSocket({
    type: `udp${family}`,
    ipv6Only: family === 6 && place.ipv6Only,
    reusePort: place.reusePort,
    // Addresses are numbers here; Node would ask its resolver about each, a turn later.
    lookup: (address, _options, found) => found(null, address, family),
  });
  await bind(socket, place);
  try {
    socket.setRecvBufferSize(UDP_LIMITS.receiveBufferBytes);
  } catch {
    // The system's own size serves as well, only not bursts.
  }
  const end = makeEnd(socket, events);
  socket.on('error', events.error);
  let packets = 0;
  socket.on('message', (message, from) => {
    if (from.port === 0) {
      events.portZero();
      return;
    }
    packets = (packets + 1) % UDP_LIMITS.packetsPerQueueCheck;
    if (packets === 0 && socket.getSendQueueSize() > UDP_LIMITS.sendQueueBytes) {
      events.sendQueueFull();
      return;
    }
    events.packet(message, from, end);
  });
  return end;
}

function bind(socket: Socket, { address, port }: UdpPlace): Promise<void> {
  const bound = Promise.withResolvers<void>();
  socket.once('error', bound.reject);
  socket.bind({ address, port }, () => {
    socket.off('error', bound.reject);
    bound.resolve();
  });
  return bound.promise;
}

function makeEnd(socket: Socket, events: UdpEvents): UdpEnd {
  const { address, port } = socket.address();
  return {
    address,
    port,
    send: (message, toPort, toAddress) => {
      try {
        socket.send(message, toPort, toAddress);
      } catch (error) {
        events.error(error instanceof Error ? error : new Error(String(error)));
      }
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
