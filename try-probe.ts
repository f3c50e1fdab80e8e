// One visitor's look at a workspace: an HTTPS request from outside, through relay and device.
import { request } from 'node:https';

export type Finding =
  /** The workspace answered, whatever it said. */
  | { readonly kind: 'answered'; readonly status: number }
  /** Everything up to the workspace works; it does not. */
  | { readonly kind: 'down'; readonly why: string }
  /** The way to it is not there (yet). */
  | { readonly kind: 'away'; readonly why: string };

export interface Entrance {
  readonly address: string;
  readonly port: number;
  /** PEM of what the visitor trusts, also when that is no root; absent: everybody's roots. */
  readonly ca: string | undefined;
}

/** A workspace may think for long; this one look is not worth more. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Problems of ours that mean the workspace, not the way to it. */
const DOWN: Readonly<Record<string, string>> = {
  'workspace-unreachable': 'nothing listens there',
  'workspace-timeout': 'it does not take connections',
  'workspace-broke': 'it ends connections without an answer',
  'bad-response': 'what it answers is not HTTP/1.1',
};

const PROBLEM = 'urn:waygate:problem:';

/** Never rejects. */
export function probe(hostname: string, { address, port, ca }: Entrance): Promise<Finding> {
  return new Promise((settle) => {
    const asked = request({
      host: address,
      port,
      ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
      servername: hostname,
      agent: false,
      headers: { host: `${hostname}:${port}`, accept: 'application/problem+json, */*;q=0.1' },
    });
    let connected = false;
    asked.on('socket', (socket) => socket.on('secureConnect', () => (connected = true)));
    asked.setTimeout(ANSWER_TIMEOUT_MS, () => {
      const why = `no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`;
      settle({ kind: connected ? 'down' : 'away', why });
      asked.destroy();
    });
    asked.on('error', (error) => settle({ kind: 'away', why: error.message }));
    asked.on('response', (response) => {
      const status = response.statusCode ?? 0;
      if (response.headers['content-type'] !== 'application/problem+json') {
        settle({ kind: 'answered', status });
        asked.destroy();
        return;
      }
      const parts: string[] = [];
      response.setEncoding('utf8');
      response.on('data', (part: string) => parts.push(part));
      response.on('end', () => settle(judge(status, parts.join(''))));
      response.on('error', (error) => settle({ kind: 'away', why: error.message }));
    });
    asked.end();
  });
}

/** A problem of the entrance's, or an answer of a workspace that happens to use the same form. */
function judge(status: number, body: string): Finding {
  const at = body.indexOf(PROBLEM);
  const kind = /^[a-z-]+/.exec(body.slice(at + PROBLEM.length))?.[0];
  if (at === -1 || kind === undefined) return { kind: 'answered', status };
  const why = DOWN[kind];
  return why === undefined ? { kind: 'away', why: kind } : { kind: 'down', why };
}
