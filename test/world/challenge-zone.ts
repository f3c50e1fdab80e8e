// Where a certificate authority looks for proofs in tests: a name server (UDP and TCP) that answers TXT from
// a map, any A with loopback, and everything else with nothing; and a web server for http-01.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import {
  createServer as createTcpServer,
  type Server as TcpServer,
  type Socket as TcpSocket,
} from 'node:net';
import packet from 'dns-packet';
import type { Proof, Prover } from '../../certs/order.ts';

export class ChallengeZone implements AsyncDisposable {
  /** `address:port` of the name server. */
  readonly dnsServer: string;
  readonly httpPort: number;
  /** Values by owner. */
  readonly texts = new Map<string, Set<string>>();
  /** Key authorizations by hostname and token. */
  readonly files = new Map<string, string>();
  /** How many proofs were shown in all, and how many were taken away again. */
  shown = 0;
  hidden = 0;
  /** The most values that one owner has had at once. */
  mostTexts = 0;
  /** Called before a proof is shown; what it throws is what the prover throws. */
  before: (proof: Proof) => void | Promise<void> = () => undefined;
  readonly #dns: Socket;
  readonly #tcp: TcpServer;
  readonly #http: Server;

  private constructor(dns: Socket, tcp: TcpServer, http: Server) {
    this.#dns = dns;
    this.#tcp = tcp;
    this.#http = http;
    this.dnsServer = `127.0.0.1:${dns.address().port}`;
    const address = http.address();
    this.httpPort = typeof address === 'object' && address !== null ? address.port : 0;
    dns.on('message', (message, from) => {
      dns.send(this.#answer(message), from.port, from.address);
    });
    tcp.on('connection', (socket: TcpSocket) => this.#converse(socket));
    http.on('request', (request, response) => {
      const token = request.url?.replace('/.well-known/acme-challenge/', '') ?? '';
      const hostname = request.headers.host?.replace(/:\d+$/, '') ?? '';
      const found = this.files.get(`${hostname} ${token}`);
      response.writeHead(found === undefined ? 404 : 200).end(found);
    });
  }

  static async open(): Promise<ChallengeZone> {
    const tcp = createTcpServer();
    tcp.listen(0, '127.0.0.1');
    const http = createServer();
    http.listen(0, '127.0.0.1');
    await Promise.all([once(tcp, 'listening'), once(http, 'listening')]);
    const dns = createSocket('udp4');
    const address = tcp.address();
    dns.bind(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1');
    await once(dns, 'listening');
    return new ChallengeZone(dns, tcp, http);
  }

  /** Shows proofs here, of the types that are named. */
  prover(...types: readonly Proof['type'][]): Prover {
    return {
      choose: (_hostname, wildcard) => types.filter((type) => !wildcard || type === 'dns-01'),
      show: async (proof) => {
        await this.before(proof);
        this.shown += 1;
        const take = proof.type === 'dns-01' ? this.#showText(proof) : this.#showFile(proof);
        return async () => {
          this.hidden += 1;
          take();
        };
      },
    };
  }

  #showText({ hostname, dnsValue }: Proof): () => void {
    const owner = `_acme-challenge.${hostname}`;
    const values = this.texts.get(owner) ?? new Set();
    this.texts.set(owner, values.add(dnsValue));
    this.mostTexts = Math.max(this.mostTexts, values.size);
    return () => {
      values.delete(dnsValue);
      if (values.size === 0) this.texts.delete(owner);
    };
  }

  #showFile({ hostname, token, keyAuthorization }: Proof): () => void {
    this.files.set(`${hostname} ${token}`, keyAuthorization);
    return () => this.files.delete(`${hostname} ${token}`);
  }

  /** Messages behind their lengths (RFC 1035, section 4.2.2). */
  #converse(socket: TcpSocket): void {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on('error', () => socket.destroy());
    socket.on('data', (part: Buffer) => {
      bytes = Buffer.concat([bytes, part]);
      while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
        const end = 2 + bytes.readUInt16BE(0);
        const answer = this.#answer(bytes.subarray(2, end));
        bytes = bytes.subarray(end);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      }
    });
  }

  #answer(message: Buffer): Buffer {
    const { id, questions = [] } = packet.decode(message);
    const name = questions[0]?.name ?? '';
    const type = questions[0]?.type;
    const values = this.texts.get(name.toLowerCase()) ?? [];
    const answers: packet.Answer[] = [];
    if (type === 'TXT') {
      for (const data of values) answers.push({ type, name, ttl: 0, data });
    }
    if (type === 'A') answers.push({ type, name, ttl: 0, data: '127.0.0.1' });
    const flags = packet.AUTHORITATIVE_ANSWER;
    return packet.encode({
      type: 'response',
      ...(id === undefined ? {} : { id }),
      flags,
      questions,
      answers,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dns.close();
    this.#tcp.close();
    this.#http.closeAllConnections();
    this.#http.close();
    await Promise.all([once(this.#dns, 'close'), once(this.#http, 'close')]);
  }
}
