// Node's HTTP/1.1, at the price of HTTP/1.1: an `import` of `node:http` reads all that it exports, and three
// of its exports (WebSocket and its events) load the whole of undici when they are read, which is a
// tenth of the CPU time of a start. Types may be imported from `node:http`: they cost nothing.
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');
