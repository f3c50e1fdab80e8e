// Makes a program live FACTOR times as fast as the world: loaded into it before its own code
// (NODE_OPTIONS=--import), it scales the monotonic clock and everything that waits by it. Five
// minutes of a deadline then take a few seconds; what the network and the processor need stays as it
// is, so the factor must leave the shortest deadlines (a dead tunnel: 25 s) some tenths of a second.
import { Socket } from 'node:net';

/** 25 s are 625 ms, five minutes 7.5 s. */
const FACTOR = 40;

const realNow = performance.now.bind(performance);
performance.now = () => realNow() * FACTOR;

const realInterval = setInterval;
const realTimeout = setTimeout;
const scaled = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : ms / FACTOR;
Object.assign(globalThis, {
  setInterval: (run: () => void, ms?: number, ...args: []) =>
    realInterval(run, scaled(ms), ...args),
  setTimeout: (run: () => void, ms?: number, ...args: []) => realTimeout(run, scaled(ms), ...args),
});

const realSocketTimeout = Socket.prototype.setTimeout;
Socket.prototype.setTimeout = function (ms: number, run?: () => void) {
  return realSocketTimeout.call(this, ms / FACTOR, run);
};
