// Responses as they stand on the wire, split by their framing.

export interface RawResponse {
  readonly status: number;
  /** With its empty line. */
  readonly head: string;
  /** What has come of it, without its framing. */
  readonly body: string;
  readonly trailers: string;
  readonly whole: boolean;
}

/** `methods` of the requests in order, because HEAD decides; `ended`: nothing more comes. */
export function readResponses(
  text: string,
  methods: readonly string[],
  ended: boolean,
): RawResponse[] {
  const responses: RawResponse[] = [];
  let finals = 0;
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n') + 4;
    if (end < 4) break;
    const head = rest.slice(0, end);
    rest = rest.slice(end);
    const status = Number(/^HTTP\/1\.1 ([1-5][0-9][0-9]) /.exec(head)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no response: ${JSON.stringify(head.slice(0, 200))}`);
    const none = status < 200 || status === 204 || status === 304 || methods[finals] === 'HEAD';
    const body = none ? bodyless(rest) : readBody(head, rest, ended);
    responses.push({ status, head, ...body });
    if (status >= 200) finals += 1;
    rest = status === 101 ? '' : body.rest;
  }
  return responses;
}

/** The values of a field. */
export function valuesIn(head: string, name: string): string[] {
  const start = `${name.toLowerCase()}: `;
  const lines = head.split('\r\n').filter((line) => line.toLowerCase().startsWith(start));
  return lines.map((line) => line.slice(start.length));
}

/** Whether the sender closes after this one. */
export function saysClose(head: string): boolean {
  return valuesIn(head, 'connection').join() === 'close';
}

interface Framed {
  readonly body: string;
  readonly trailers: string;
  readonly rest: string;
  readonly whole: boolean;
}

function bodyless(rest: string): Framed {
  return { body: '', trailers: '', rest, whole: true };
}

function readBody(head: string, text: string, ended: boolean): Framed {
  if (valuesIn(head, 'transfer-encoding').length > 0) return readChunks(text);
  const [length] = valuesIn(head, 'content-length');
  if (length === undefined) return { body: text, trailers: '', rest: '', whole: ended };
  const bytes = Number(length);
  const whole = text.length >= bytes;
  return { body: text.slice(0, bytes), trailers: '', rest: text.slice(bytes), whole };
}

function readChunks(text: string): Framed {
  let body = '';
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (end < 0 || rest.length < end + 2 + size + 2) break;
    rest = rest.slice(end + 2);
    if (size === 0) {
      const stop = rest.startsWith('\r\n') ? 0 : rest.indexOf('\r\n\r\n') + 2;
      if (stop === 1) break;
      return { body, trailers: rest.slice(0, stop), rest: rest.slice(stop + 2), whole: true };
    }
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
  return { body, trailers: '', rest: '', whole: false };
}
