// The device's end of a tunnel, by hand: the right hello to a real relay, or a wrong one, and then any
// frames.

import { parseHostname } from '../../dns/name.ts';
import { encodeFrame, FRAME, FrameCursor, type FrameType } from '../../relay/protocol/frame.ts';
import {
  acceptChallenge,
  type Challenge,
  makeDeviceNonce,
  makeInstance,
  signProof,
  tlsExporter,
} from '../../relay/protocol/hello.ts';
import type { PublicKey, SigningKey } from '../../relay/protocol/key.ts';
import { LIMITS } from '../../relay/protocol/limits.ts';
import { parseWelcome } from '../../relay/protocol/welcome.ts';
import { RawWebSocket } from './raw-websocket.ts';
import type { Door } from './visits.ts';

export interface HeardFrame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Whom a raw device knocks at. */
export interface TunnelDoor extends Door {
  readonly hostname: string;
  readonly vendorKey: PublicKey;
}

/** What the proof says. */
export interface ProofFacts {
  readonly instance: string;
  readonly slot: 0 | 1;
}

/** A tunnel that is up to the proof: the relay has sent its challenge. */
export class Knock implements Disposable {
  readonly socket: RawWebSocket;
  readonly challenge: Challenge;

  private constructor(socket: RawWebSocket, challenge: Challenge) {
    this.socket = socket;
    this.challenge = challenge;
  }

  static async at(door: TunnelDoor): Promise<Knock> {
    const deviceNonce = makeDeviceNonce();
    const socket = await RawWebSocket.open(door, door.hostname, { 'Waygate-Nonce': deviceNonce });
    const relay = parseHostname(door.hostname);
    const [frame] = framesOf(await socket.message(0));
    if (relay === undefined || frame === undefined) throw new Error('no challenge');
    const accepted = await acceptChallenge(frame.payload.toString('latin1'), {
      vendorKey: door.vendorKey,
      relay,
      deviceNonce,
      exporter: tlsExporter(socket.socket),
    });
    if (!accepted.ok) throw new Error(accepted.message);
    return new Knock(socket, accepted.value);
  }

  /** The right proof; `changes` make it wrong. */
  proof(
    key: SigningKey,
    facts: Partial<ProofFacts> = {},
    changes: Partial<Challenge> = {},
  ): Promise<string> {
    const { instance = makeInstance(), slot = 0 } = facts;
    const limits = { streams: LIMITS.streamsMax };
    const software = 'raw-device/1';
    const challenge = { ...this.challenge, ...changes };
    return signProof(challenge, { instance, slot, software, limits }, key);
  }

  answer(proof: string): void {
    this.socket.sayBinary(encodeFrame(FRAME.proof, 0, Buffer.from(proof)));
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

/** A tunnel that is up. */
export class RawDevice implements Disposable {
  readonly socket: RawWebSocket;
  readonly epoch: number;

  private constructor(socket: RawWebSocket, epoch: number) {
    this.socket = socket;
    this.epoch = epoch;
  }

  static async connect(
    door: TunnelDoor,
    key: SigningKey,
    facts: Partial<ProofFacts> = {},
  ): Promise<RawDevice> {
    const knock = await Knock.at(door);
    knock.answer(await knock.proof(key, facts));
    const [frame] = framesOf(await knock.socket.message(1));
    const welcome = frame && parseWelcome(frame.payload);
    if (welcome === undefined) throw new Error('no welcome');
    return new RawDevice(knock.socket, welcome.epoch);
  }

  /** One message with these frames or bytes. */
  say(...frames: readonly Buffer[]): void {
    this.socket.sayBinary(Buffer.concat(frames));
  }

  /** All frames of this type since the welcome. */
  heard(type: FrameType): readonly HeardFrame[] {
    return this.socket.messages
      .slice(1)
      .flatMap(framesOf)
      .filter((frame) => frame.type === type);
  }

  /** The first so many streams that the relay opened. */
  async opened(count: number): Promise<readonly HeardFrame[]> {
    await this.socket.until(() => this.heard(FRAME.open).length >= count, `${count} streams`);
    return this.heard(FRAME.open);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

function framesOf(message: Buffer): HeardFrame[] {
  const cursor = new FrameCursor();
  cursor.read(message);
  const frames: HeardFrame[] = [];
  while (cursor.next()) {
    const { type, streamId } = cursor;
    frames.push({ type, streamId, payload: cursor.payload() });
  }
  return frames;
}
