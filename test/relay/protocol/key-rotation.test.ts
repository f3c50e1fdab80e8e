import { expect, it } from 'vitest';
import { generateKey } from '../../../relay/protocol/key.ts';
import { acceptKeyRotation, signKeyRotation } from '../../../relay/protocol/key-rotation.ts';
import { signToken } from '../../../relay/protocol/token.ts';
import { device, hostname, RELAY } from './hello-fixture.ts';

const rotation = { host: RELAY, oldThumbprint: device.publicKey.thumbprint };

it('a new key is accepted by its own word, for that old key and that relay alone', async () => {
  const newKey = generateKey('device');
  const { text } = newKey.publicKey;
  const proof = await signKeyRotation(rotation, newKey);
  expect((await acceptKeyRotation(proof, text, rotation))?.text).toBe(text);
  const stranger = generateKey('device');
  for (const [asked, keyText] of [
    [{ ...rotation, host: hostname('tunnel.other.dev') }, text],
    [{ ...rotation, oldThumbprint: stranger.publicKey.thumbprint }, text],
    [rotation, stranger.publicKey.text],
    [rotation, 'waygate-device:x'],
    [rotation, ''],
    [{ ...rotation, oldThumbprint: newKey.publicKey.thumbprint }, text],
  ] as const) {
    expect(await acceptKeyRotation(proof, keyText, asked)).toBeUndefined();
  }
});

it('a new key that somebody else announces is not accepted', async () => {
  const victim = generateKey('device').publicKey;
  const claims = { aud: RELAY, old: device.publicKey.thumbprint, key: victim.text };
  const forged = await signToken('waygate-key-rotation+jwt', claims, device);
  for (const proof of [forged, '', 'a.b.c', 'x'.repeat(100_000)]) {
    expect(await acceptKeyRotation(proof, victim.text, rotation)).toBeUndefined();
  }
});
