// An owner who is signed in at the portal: his session is in the registry, as a sign-in leaves it, and
// what he does goes over HTTP.
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { startSession } from '../../relay/registry/portal-token.ts';
import { signIn } from '../../relay/registry/sign-in.ts';
import { type Installation, ZONE } from './installation.ts';

export interface PortalAnswer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

export class SignedInOwner {
  readonly id: string;
  readonly #vendor: Installation;
  readonly #token: string;

  private constructor(vendor: Installation, id: string, token: string) {
    this.#vendor = vendor;
    this.id = id;
    this.#token = token;
  }

  static async make(vendor: Installation, mail: string): Promise<SignedInOwner> {
    const nowMs = Date.now();
    return vendor.withRegistry(async (registry) => {
      const { id } = await registry.write(signIn({ issuer: 'mailto', subject: mail, nowMs }));
      const token = await registry.write(startSession({ ownerId: id, nowMs }));
      return new SignedInOwner(vendor, id, token);
    });
  }

  /** A change by the portal's API. */
  async post(path: string, body: object): Promise<PortalAnswer> {
    const { address, port, caPem } = this.#vendor;
    const hostname = `my.${ZONE}`;
    const origin = `https://${hostname}:${port}`;
    const asked = request({
      ...{ method: 'POST', host: address, port, path, servername: hostname, ca: caPem },
      agent: false,
      headers: {
        host: `${hostname}:${port}`,
        origin,
        cookie: `__Host-waygate=${this.#token}`,
        'content-type': 'application/json',
      },
    });
    asked.end(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      asked.on('error', reject);
      asked.on('response', (response) => {
        text(response).then((words) => {
          resolve({ status: response.statusCode ?? 0, json: JSON.parse(words || '{}') });
        }, reject);
      });
    });
  }

  approve(code: unknown, name: string): Promise<PortalAnswer> {
    return this.post('/v1/claims/approve', { code, name });
  }
}
