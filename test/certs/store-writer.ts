// Rewrites one entry for ever; the one who started it kills it in the middle.
import { openStore } from '../../certs/store.ts';

const store = await openStore(process.argv[2] ?? '');
for (let round = 0; ; round += 1) {
  await store.write('a.pem', String(round % 10).repeat(100_000));
  if (round === 0) process.send?.('first');
}
