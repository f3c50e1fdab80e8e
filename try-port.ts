// Ports for the programs of `waygate try`: found free before they start, so that they stay the same when
// a program is started again.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { failureSentence } from './failure.ts';
import { TryError } from './try-error.ts';

/** With 0: how often another port is tried when the one that is free for TCP is taken for UDP. */
const TRIES_MAX = 20;

export interface WantedPort {
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  /** Which option chooses it. */
  readonly option: string;
}

/** The port itself, or a free one for 0. Rejects at once when it is taken. */
export async function freePort(wanted: WantedPort): Promise<number> {
  try {
    return await tcpPort(wanted);
  } catch (error) {
    throw taken(error, wanted);
  }
}

/** The same for one that must be free for TCP and UDP. */
export async function freeDnsPort(wanted: WantedPort): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      const port = await tcpPort(wanted);
      await bindUdp(wanted.address, port);
      return port;
    } catch (error) {
      if (wanted.port !== 0 || tries === TRIES_MAX) throw taken(error, wanted);
    }
  }
}

async function tcpPort({ address, port }: WantedPort): Promise<number> {
  const server = createServer();
  server.listen(port, address);
  await once(server, 'listening');
  const bound = server.address();
  server.close();
  await once(server, 'close');
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}

async function bindUdp(address: string, port: number): Promise<void> {
  const socket = createSocket('udp4');
  try {
    socket.bind(port, address);
    await once(socket, 'listening');
  } finally {
    socket.close();
  }
}

function taken(error: unknown, { option }: WantedPort): TryError {
  const sentence = `${failureSentence(error)} (${option} N; ${option} 0 takes any free one)`;
  return new TryError(sentence, { cause: error });
}
