// By which challenges of ACME an own domain is proven to an authority, the best first.

export type DirectChallenge = 'tls-alpn-01' | 'http-01';

/**
 * The domain leads to the relay, so the relay answers for it; what is below it can only be proven by DNS,
 * and then the domain is proven so, too: what is delegated anyway is enough.
 */
export function provingChallenges({
  wildcard,
  plainHttp,
}: {
  readonly wildcard: boolean;
  readonly plainHttp: boolean;
}): readonly (DirectChallenge | 'dns-01')[] {
  return wildcard ? ['dns-01'] : directChallenges(plainHttp);
}

/** `plainHttp`: the relay listens for it. */
export function directChallenges(plainHttp: boolean): readonly DirectChallenge[] {
  // HTTPS has to lead to us anyway; plain HTTP may be closed on the way.
  return plainHttp ? ['tls-alpn-01', 'http-01'] : ['tls-alpn-01'];
}
