// A tunnel in memory: a session that opens streams (the relay's) and one that accepts them (the
// device's), with what each of them was told.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import type { OpenHeader } from '../../relay/protocol/open.ts';
import { Session, type SessionEnd, type SessionOptions } from '../../relay/protocol/session.ts';
import type { Stream } from '../../relay/protocol/stream.ts';
import { type MemoryWire, type MemoryWireOptions, memoryWires } from './memory-wire.ts';
import { Recorder } from './recorder.ts';

export const HEADER: OpenHeader = {
  name: 'alice',
  workspace: 'code',
  address: '203.0.113.7',
  port: 50_123,
  trust: 0,
};

type Limits = Pick<SessionOptions, 'streamsMax' | 'peerStreamsMax' | 'lastStreamId'>;

export class MemoryTunnel {
  readonly relay: Session;
  readonly device: Session;
  readonly relayWire: MemoryWire;
  readonly deviceWire: MemoryWire;
  readonly headers: OpenHeader[] = [];
  readonly faults: unknown[] = [];
  readonly drains: { readonly side: 'relay' | 'device'; readonly ms: number }[] = [];
  relayEnd: SessionEnd | undefined;
  deviceEnd: SessionEnd | undefined;
  /** What the device does with a new stream. */
  accept: (stream: Stream) => void = (stream) => {
    this.arrived.push(new Recorder(stream));
  };
  readonly arrived: Recorder[] = [];

  constructor(options: MemoryWireOptions & { relay?: Limits; device?: Limits } = {}) {
    [this.relayWire, this.deviceWire] = memoryWires(options);
    const faulted = (error: unknown): void => {
      this.faults.push(error);
    };
    this.relay = new Session({
      wire: this.relayWire,
      drained: (ms) => this.drains.push({ side: 'relay', ms }),
      ended: (end) => {
        this.relayEnd = end;
      },
      faulted,
      ...options.relay,
    });
    this.device = new Session({
      wire: this.deviceWire,
      accept: (stream, header) => {
        this.headers.push(header);
        this.accept(stream);
      },
      drained: (ms) => this.drains.push({ side: 'device', ms }),
      ended: (end) => {
        this.deviceEnd = end;
      },
      faulted,
      ...options.device,
    });
    this.relayWire.receiver = this.relay;
    this.deviceWire.receiver = this.device;
  }

  /** Opens a stream whose listener takes bytes at once. */
  open(): Recorder {
    const stream = this.relay.open(HEADER);
    expect(stream).toBeDefined();
    if (stream === undefined) throw new Error('unreachable');
    return new Recorder(stream);
  }

  /** The device's end of the stream that was opened as the `index`th. */
  deviceEndOf(index: number): Recorder {
    const recorder = this.arrived[index];
    if (recorder === undefined) throw new Error(`stream ${index} has not arrived`);
    return recorder;
  }

  /** Until both wires have been quiet for some turns. */
  async settle(): Promise<void> {
    for (let quietTurns = 0; quietTurns < 4; quietTurns++) {
      await nextTurn();
      if (!this.relayWire.quiet || !this.deviceWire.quiet) quietTurns = 0;
    }
  }

  stop(): void {
    this.relay.close(1000, 'the test is over');
    this.device.close(1000, 'the test is over');
  }
}
