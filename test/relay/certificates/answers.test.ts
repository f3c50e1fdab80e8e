import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, connect as tlsConnect } from 'node:tls';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { ChallengeAnswers } from '../../../relay/certificates/answers.ts';
import { type MakeProver, provers } from '../../../relay/certificates/provers.ts';
import { judgeCaa } from '../../../relay/domains/caa.ts';
import { formatSteps } from '../../../relay/domains/own-domain-report.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { hostname, IssuingStand, ZONE } from './issuing-stand.ts';

const APP = hostname('app.example.org');
const PROOF = {
  ...{ hostname: APP, wildcard: false, token: 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ', dnsValue: '' },
  keyAuthorization: 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ.thumbprint',
};
const CA = ['ca.example'];
const { signal } = new AbortController();
let stand: IssuingStand;

beforeEach(async () => {
  stand = await IssuingStand.start();
});

function prover(
  plainHttp: boolean,
  job: Parameters<MakeProver>[0] = { attempts: 0, names: [APP] },
  identities: readonly string[] = CA,
) {
  const { registry, log } = stand;
  const challenges = { publish: () => Promise.reject(new Error('no DNS here')) };
  return provers({ zone: ZONE, registry, challenges, plainHttp, log, now: Date.now })(
    job,
    identities,
  );
}

test('an answer by HTTP is given by every relay while it is shown, and by none after that', async () => {
  const other = await stand.anotherRegistry();
  onTestFinished(() => other.close());
  const answers = new ChallengeAnswers(other);
  expect(await answers.keyAuthorization(APP, PROOF.token)).toBeUndefined();
  const hide = await (await prover(true)).show({ ...PROOF, type: 'http-01' }, signal);
  expect(await answers.keyAuthorization(APP, PROOF.token)).toBe(PROOF.keyAuthorization);
  expect(await answers.keyAuthorization(APP, 'another')).toBeUndefined();
  expect(await answers.keyAuthorization(hostname('evil.example.org'), PROOF.token)).toBe(undefined);
  expect(await answers.alpnContext(APP)).toBeUndefined();
  await hide();
  // Whatever is asked for that is not there reads anew.
  await answers.keyAuthorization(APP, 'another');
  expect(await answers.keyAuthorization(APP, PROOF.token)).toBeUndefined();
});

test('an answer by TLS is a certificate with the digest', async () => {
  await (await prover(false)).show({ ...PROOF, type: 'tls-alpn-01' }, signal);
  const answers = new ChallengeAnswers(stand.registry);
  const secureContext = await answers.alpnContext(APP);
  expect(await answers.alpnContext(APP)).toBe(secureContext);
  const server = createServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (_, done) => done(null, secureContext),
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const protocol = { servername: APP, ALPNProtocols: ['acme-tls/1'], rejectUnauthorized: false };
  const socket = tlsConnect({ port, host: '127.0.0.1', ...protocol });
  await once(socket, 'secureConnect');
  const raw = socket.getPeerX509Certificate()?.raw.toString('hex');
  expect(raw).toContain(createHash('sha256').update(PROOF.keyAuthorization).digest('hex'));
  socket.destroy();
});

test('strangers who ask for what is not there cost a reading now and then', async () => {
  const read = vi.spyOn(stand.registry, 'read');
  const answers = new ChallengeAnswers(stand.registry);
  const asked = Array.from({ length: 500 }, (_, at) =>
    answers.alpnContext(hostname(`x${at}.example.org`)),
  );
  expect(new Set(await Promise.all(asked))).toEqual(new Set([undefined]));
  expect(read.mock.calls.length).toBeLessThanOrEqual(2);
});

test('while the registry is away, what was read before still counts', async () => {
  await (await prover(true)).show({ ...PROOF, type: 'http-01' }, signal);
  const answers = new ChallengeAnswers(stand.registry);
  await answers.keyAuthorization(APP, PROOF.token);
  vi.spyOn(stand.registry, 'read').mockRejectedValue(new Error('away'));
  expect(await answers.keyAuthorization(APP, PROOF.token)).toBe(PROOF.keyAuthorization);
  expect(await answers.keyAuthorization(APP, 'another')).toBeUndefined();
});

test('how a name is proven, by whether it has a wildcard, there is plain HTTP, and failures', async () => {
  const rows = [
    [ZONE, false, true, 0, ['dns-01']],
    [hostname(`alice.${ZONE}`), true, true, 0, ['dns-01']],
    [APP, true, true, 0, ['dns-01']],
    [APP, false, true, 0, ['tls-alpn-01', 'http-01']],
    [APP, false, true, 1, ['http-01', 'tls-alpn-01']],
    [APP, false, false, 1, ['tls-alpn-01']],
  ] as const;
  for (const [subject, wildcard, plainHttp, attempts, types] of rows) {
    const names = wildcard ? ([subject, `*.${subject}`] as const) : [subject];
    const chosen = await prover(plainHttp, { attempts, names });
    expect(chosen.choose(subject, wildcard)).toEqual(types);
    // What lies beside the wildcard needs nothing else than the wildcard does.
    expect(chosen.choose(subject, false)).toEqual(types);
  }
});

test('an own domain that nobody has proven is not proven by DNS either', async () => {
  const wildcard = { ...PROOF, type: 'dns-01', wildcard: true } as const;
  await expect((await prover(false)).show(wildcard, signal)).rejects.toThrow(
    'no proven own domain',
  );
});

test('bug: CAA that leaves an authority one challenge has it take that one at once', async () => {
  const key = deviceKey();
  await stand.registry.enroll({ name: deviceName('alice'), deviceKey: key, actor: 'test' });
  const row = { domain: APP, name: 'alice', workspace: null, wildcard: 0, target: 't', proof: 'p' };
  const times = { added_at: 0, proven_at: 0, checked_at: 0, check_due_at: 0, failing_since: null };
  const values = { ...row, ...times, state: 'proven', finding: null } as const;
  await stand.registry.write((db) => db.insertInto('domains').values(values).execute());
  const issuers = [{ identities: ['ca.example', 'other.example'], account: undefined }];
  const chosenWith = async (records: readonly string[], attempts: number, identities = CA) => {
    const judged = judgeCaa(
      {
        ...{ kind: 'found', at: APP },
        records: records.map((value) => ({ critical: false, tag: 'issue', value })),
      },
      { domain: APP, wildcard: false, issuers, methods: ['tls-alpn-01', 'http-01'] },
    );
    expect(judged.verdict).toBe('right');
    const finding = formatSteps([judged.step], judged.narrowed);
    await stand.registry.write((db) => db.updateTable('domains').set({ finding }).execute());
    return (await prover(true, { attempts, names: [APP] }, identities)).choose(APP, false);
  };
  const [both, http] = [['tls-alpn-01', 'http-01'], 'ca.example; validationmethods=http-01'];
  expect(await chosenWith([http], 0)).toEqual(['http-01']);
  expect(await chosenWith([http], 1)).toEqual(['http-01']);
  // One that has not told how it goes may be meant.
  expect(await chosenWith([http], 0, [])).toEqual(['http-01']);
  // Another authority is not, nor is one that another record leaves all.
  expect(await chosenWith([http, 'other.example'], 0, ['other.example'])).toEqual(both);
  expect(await chosenWith([http, 'ca.example'], 0)).toEqual(both);
  const alpn = 'ca.example; validationmethods=tls-alpn-01,dns-01';
  expect(await chosenWith([alpn], 1)).toEqual(['tls-alpn-01']);
  expect(await chosenWith([http, alpn], 0)).toEqual(both);
});
