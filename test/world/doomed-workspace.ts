// A workspace as a process of its own, made to be killed in the middle of a response. It begins the
// kind of response that the target names, says `begun`, and waits for its end.
//   /length /chunked /close: the framing of the response · /unread: as /close, with a request body
//   that it leaves unread, so that the system resets the connection instead of ending it
import assert from 'node:assert/strict';
import { createServer } from 'node:net';

const HEADS: Readonly<Record<string, string>> = {
  '/length': 'Content-Length: 1000\r\n\r\nonly this',
  '/chunked': 'Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n',
  '/close': 'Connection: close\r\n\r\nonly this',
  '/unread': 'Connection: close\r\n\r\nonly this',
  '/head': 'X-Only: this\r\n',
};

const server = createServer((socket) => {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('error', () => socket.destroy());
  socket.on('data', (piece: string) => {
    text += piece;
    if (!text.includes('\r\n\r\n')) return;
    if (text.includes('/unread')) socket.pause();
    const target = text.split(' ')[1] ?? '';
    text = '';
    socket.write(`HTTP/1.1 200 OK\r\n${HEADS[target] ?? ''}`, () => process.send?.('begun'));
  });
});

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  process.send?.(address.port);
});
process.on('disconnect', () => process.exit());
