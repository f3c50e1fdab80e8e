// The device's own certificates on its disk, three small files for each name:
//
//   alice.pem        the key and its chain, in one file, so that they are never out of step
//   alice.next.pem   a key that waits for its certificate, with the request that it has signed
//   alice.json       when to renew, and what went wrong last; a convenience, nothing depends on it
//
// Each is written whole or not at all (certs/store.ts), so whenever the power fails, the next start finds
// a pair that fits, or the key to go on with: the key is on the disk before anybody is asked, and the old
// pair stays until the new one is there. What is damaged counts as absent and is said.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { CertificateName } from '../certs/certificate.ts';
import { type ChainFacts, judgeChain, readChain } from '../certs/chain.ts';
import { judgeCsr, makeCsr } from '../certs/csr.ts';
import { openStore, type Store } from '../certs/store.ts';
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../dns/name.ts';

/** A key and the certificate for it. */
export interface KeptPair {
  readonly subject: Hostname;
  readonly keyPem: string;
  readonly chainPem: string;
  readonly facts: ChainFacts;
}

/** A key that waits for its certificate. */
export interface PendingKey {
  readonly keyPem: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Buffer;
  /** DER. */
  readonly csr: Buffer;
}

/** What people and the next start want to know; times in ISO 8601, by the relay's clock. */
export interface CertificateNote {
  readonly renewAt?: string;
  readonly problem?: string;
  readonly problemAt?: string;
}

export class CertificateFiles {
  readonly #store: Store;
  readonly #damaged: (name: DeviceName) => void;

  private constructor(store: Store, damaged: (name: DeviceName) => void) {
    this.#store = store;
    this.#damaged = damaged;
  }

  /** Rejects with StoreError when the directory cannot be made. `damaged`: told of a pair that is. */
  static async open(
    directory: string,
    damaged: (name: DeviceName) => void,
  ): Promise<CertificateFiles> {
    return new CertificateFiles(await openStore(directory), damaged);
  }

  /** Names that have a pair, a pending key, or both. */
  async names(): Promise<readonly DeviceName[]> {
    const found = new Set<DeviceName>();
    for (const entry of await this.#store.list()) {
      const [first = '', ...rest] = entry.split('.');
      const name = ENDINGS.has(rest.join('.')) ? parseDeviceName(first) : undefined;
      if (name !== undefined) found.add(name);
    }
    return [...found].toSorted();
  }

  /** The pair, whether or not it is over; its names are those in the certificate. */
  async pair(name: DeviceName): Promise<KeptPair | undefined> {
    const text = await this.#store.read(`${name}.pem`);
    if (text === undefined) return undefined;
    const [keyPem, chainPem] = cut(text, '-----BEGIN CERTIFICATE-----');
    try {
      const facts = readChain(chainPem);
      const subject = subjectOf(name, facts.names);
      if (subject !== undefined) {
        // Whether it is over is judged by whoever knows the time.
        const publicKeyDer = publicKeyOf(keyPem);
        const expected = { names: namesFor(subject), publicKeyDer, nowMs: 0 };
        const fault = judgeChain(chainPem, expected);
        if (fault === undefined) return { subject, keyPem, chainPem, facts };
      }
    } catch {
      // A parser's error may quote the key.
    }
    this.#damaged(name);
    return undefined;
  }

  /** The key that waits for a certificate with these names. */
  async pending(
    name: DeviceName,
    names: readonly CertificateName[],
  ): Promise<PendingKey | undefined> {
    const text = await this.#store.read(`${name}.next.pem`);
    if (text === undefined) return undefined;
    const [keyPem, request] = cut(text, REQUEST_BEGIN);
    try {
      const csr = Buffer.from(request.replace(REQUEST_LINES, ''), 'base64');
      const publicKeyDer = publicKeyOf(keyPem);
      const judged = judgeCsr(csr, names);
      if (judged.ok && judged.publicKeyDer.equals(publicKeyDer)) {
        return { keyPem, publicKeyDer, csr };
      }
    } catch {
      // As above. A new key is made instead.
    }
    return undefined;
  }

  /** A new key, which is on the disk when this resolves. */
  async makePending(name: DeviceName, names: readonly CertificateName[]): Promise<PendingKey> {
    const { keyPem, csr } = await makeCsr(names);
    const lines = csr.toString('base64').replace(/.{1,64}/g, '$&\n');
    const request = `${REQUEST_BEGIN}\n${lines}-----END CERTIFICATE REQUEST-----\n`;
    await this.#store.write(`${name}.next.pem`, keyPem + request);
    return { keyPem, csr, publicKeyDer: publicKeyOf(keyPem) };
  }

  async dropPending(name: DeviceName): Promise<void> {
    await this.#store.remove(`${name}.next.pem`);
  }

  /** Puts a pending key and its chain, which was judged, in the place of the pair. */
  async keep(name: DeviceName, { keyPem }: PendingKey, chainPem: string): Promise<void> {
    await this.#store.write(`${name}.pem`, keyPem + chainPem);
    await this.dropPending(name);
  }

  /** Nothing but what it is for: a note that is damaged is empty. */
  async note(name: DeviceName): Promise<CertificateNote> {
    return parseNote((await this.#store.read(`${name}.json`)) ?? '');
  }

  async writeNote(name: DeviceName, note: CertificateNote): Promise<void> {
    await this.#store.write(`${name}.json`, `${JSON.stringify(note)}\n`);
  }

  /** Everything of a name that is not this device's any more. */
  async remove(name: DeviceName): Promise<void> {
    for (const ending of ENDINGS) await this.#store.remove(`${name}.${ending}`);
  }
}

/** What a device's certificate is for: the device, and its workspaces. */
export function namesFor(subject: Hostname): readonly CertificateName[] {
  return [subject, `*.${subject}`];
}

/** `alice.vendor.dev` of a certificate for alice. */
function subjectOf(name: DeviceName, names: readonly string[]): Hostname | undefined {
  const found = names.find((each) => each.startsWith(`${name}.`));
  return found === undefined ? undefined : parseHostname(found);
}

/** A name ends before a dot, so no name can look like another one's file. */
const ENDINGS: ReadonlySet<string> = new Set(['next.pem', 'pem', 'json']);
const REQUEST_BEGIN = '-----BEGIN CERTIFICATE REQUEST-----';
const REQUEST_LINES = /-----(BEGIN|END) CERTIFICATE REQUEST-----|\s/g;

function cut(text: string, at: string): readonly [before: string, from: string] {
  const index = text.indexOf(at);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index)];
}

function publicKeyOf(keyPem: string): Buffer {
  return createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' });
}

function parseNote(text: string): CertificateNote {
  try {
    const json: unknown = JSON.parse(text);
    const members = new Map<string, unknown>(
      typeof json === 'object' && json !== null ? Object.entries(json) : [],
    );
    const told = (['renewAt', 'problem', 'problemAt'] as const).flatMap((key) => {
      const value = members.get(key);
      return typeof value === 'string' ? [[key, value] as const] : [];
    });
    return Object.fromEntries(told);
  } catch {
    return {};
  }
}
