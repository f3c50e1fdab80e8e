// The relay's verbs that change something, and the vendor's key. Data goes to stdout; a running relay
// sees a change at once.
import { readConfig } from './config-file.ts';
import type { DeviceName } from './dns/name.ts';
import { nameOf, optionalNameOf } from './name-argument.ts';
import { print, printJson } from './printing.ts';
import { relayFiles, relaySchema } from './relay/config.ts';
import {
  loadOrCreateKey,
  type PublicKey,
  parsePublicKey,
  publicKeyFault,
} from './relay/protocol/key.ts';
import { actorText } from './relay/registry/actor.ts';
import { order as orderDeed } from './relay/registry/deeds/order.ts';
import { parseOwnDomain } from './relay/registry/deeds/own-domain.ts';
import { release as releaseDeed } from './relay/registry/deeds/release.ts';
import { rename as renameDeed } from './relay/registry/deeds/rename.ts';
import { revoke as revokeDeed } from './relay/registry/deeds/revoke.ts';
import type { Registry } from './relay/registry/registry.ts';
import { MAIL_ISSUER, signIn } from './relay/registry/sign-in.ts';
import { withRegistry } from './relay-registry.ts';
import { UsageError } from './usage-error.ts';

export interface EnrollRequest {
  readonly name: string;
  readonly deviceKey: string;
  /** The public key of the device that loses the name by this. */
  readonly replacing?: string | undefined;
}

/** Gives a name to a device; the same again changes nothing. */
export async function enroll(config: string, request: EnrollRequest, json: boolean): Promise<void> {
  const name = nameOf('--name', request.name);
  const deviceKey = deviceKeyOf('--device-key', request.deviceKey);
  const replacing =
    request.replacing === undefined ? undefined : deviceKeyOf('--replacing', request.replacing);
  const outcome = await withRegistry(config, ({ registry, by }) => {
    const enrolment = { name, deviceKey, actor: actorText(by) };
    return registry.enroll(
      replacing === undefined ? enrolment : { ...enrolment, replacing: replacing.thumbprint },
    );
  });
  if (json) await printJson({ name, deviceKey: deviceKey.text, outcome });
  else await print(`${name}: ${outcome}`);
}

export interface OrderRequest {
  readonly name: string;
  /** An own domain that the name gets with it. */
  readonly domain?: string;
  readonly serial?: string;
  /** The mail address of whom the name will belong to. */
  readonly owner?: string;
  readonly expiresDays?: number;
  readonly allowLookalike?: boolean;
}

/** Reserves a name for a device that does not exist yet; prints the code that binds it, once. */
export async function order(config: string, request: OrderRequest, json: boolean): Promise<void> {
  const name = nameOf('--name', request.name);
  const { domain: text, serial, owner, expiresDays, allowLookalike = false } = request;
  if (serial !== undefined && !/^[\x21-\x7e]{1,64}$/.test(serial)) {
    throw new UsageError('--serial must have 1 to 64 visible ASCII characters.');
  }
  if (owner !== undefined && !MAIL_ADDRESS.test(owner)) {
    throw new UsageError('--owner must be a mail address, such as ann@example.org.');
  }
  const { zone } = readConfig(config, relaySchema);
  const domain = text === undefined ? undefined : parseOwnDomain(text, zone);
  if (text !== undefined && domain === undefined) {
    throw new UsageError(`--domain must be a domain outside ${zone}, such as app.example.org.`);
  }
  if (domain !== undefined) await assertSomebodys(domain);
  const policy = expiresDays === undefined ? {} : { orderTtlMs: expiresDays * DAY_MS };
  const receipt = await withRegistry(
    config,
    async ({ registry, by }) => {
      const ownerId = owner === undefined ? undefined : await mailOwner(registry, owner);
      return registry.perform(
        orderDeed({
          ...{ name, actor: actorText(by), allowLookalike },
          ...(domain === undefined ? {} : { domain }),
          ...(serial === undefined ? {} : { serial }),
          ...(ownerId === undefined ? {} : { ownerId }),
        }),
      );
    },
    policy,
  );
  const { id, code, expiresAtMs } = receipt;
  const expiresAt = new Date(expiresAtMs).toISOString();
  if (json) return printJson({ id, name, code, domain, serial, owner, expiresAt });
  await print(code);
  process.stderr.write(
    `${name}: ordered until ${expiresAt}. The code is shown this once. Write it into a file of the ` +
      'device, and name that in device.yaml: claim: { codeFile: PATH }\n',
  );
}

/** The list of public suffixes is read for this alone. */
async function assertSomebodys(domain: string): Promise<void> {
  const { isPublicSuffix } = await import('./relay/registered-domain.ts');
  if (!isPublicSuffix(domain)) return;
  throw new UsageError(
    `--domain must be somebody's own: below ${domain} everybody can register a domain. Name one of ` +
      `those, such as example.${domain}.`,
  );
}

/** No check of an address is worth more than the link that is sent there. */
const MAIL_ADDRESS = /^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/;

/** Whoever signs in by a link to that address will be this owner. */
async function mailOwner(registry: Registry, subject: string): Promise<string> {
  const { id } = await registry.write(signIn({ issuer: MAIL_ISSUER, subject, nowMs: Date.now() }));
  return id;
}

/** Takes a name from its device; nobody gets it before its quarantine is over. */
export async function release(config: string, name: DeviceName, json: boolean): Promise<void> {
  await withRegistry(config, ({ registry, by }) => registry.perform(releaseDeed({ name, by })));
  if (json) await printJson({ name, outcome: 'released' });
  else await print(`${name}: released`);
}

export async function rename(
  config: string,
  { name, to }: { readonly name: DeviceName; readonly to: DeviceName },
  json: boolean,
): Promise<void> {
  const { formerUntilMs } = await withRegistry(config, ({ registry, by }) =>
    registry.perform(renameDeed({ name, to, by })),
  );
  const formerUntil = new Date(formerUntilMs).toISOString();
  if (json) await printJson({ name: to, former: name, formerUntil });
  else await print(`${to}: the name now; ${name} leads to it until ${formerUntil}`);
}

export interface RevokeRequest {
  readonly name?: string;
  readonly deviceKey?: string;
}

/** Bars a device for ever, named by its key or by a name that it has. */
export async function revoke(config: string, request: RevokeRequest, json: boolean): Promise<void> {
  const name = optionalNameOf('--name', request.name);
  const { deviceKey } = request;
  if ((name === undefined) === (deviceKey === undefined)) {
    throw new UsageError('Say which device: either --name NAME or --device-key KEY.');
  }
  const given = deviceKey === undefined ? undefined : deviceKeyOf('--device-key', deviceKey);
  const thumbprint = await withRegistry(config, async ({ registry, by }) => {
    const found = given?.thumbprint ?? holderOf(registry, name);
    await registry.perform(revokeDeed({ thumbprint: found, actor: actorText(by) }));
    return found;
  });
  if (json) await printJson({ thumbprint, outcome: 'revoked' });
  else await print(`${thumbprint}: revoked, for ever`);
}

/** The vendor's public key, which devices pin. */
export async function printVendorKey(config: string, json: boolean): Promise<void> {
  const { vendorKey } = relayFiles(readConfig(config, relaySchema));
  const { publicKey } = await loadOrCreateKey(vendorKey, 'vendor');
  if (json) await printJson({ vendorKey: publicKey.text });
  else await print(publicKey.text);
}

const DAY_MS = 86_400_000;

function holderOf(registry: Registry, name: DeviceName | undefined): string {
  const device = name === undefined ? undefined : registry.snapshot.deviceOf(name);
  if (device !== undefined) return device.thumbprint;
  throw new UsageError(`--name: no device has the name ${name}. See: waygate relay names.`);
}

function deviceKeyOf(option: string, text: string): PublicKey {
  const key = parsePublicKey(text, 'device');
  if (key !== undefined) return key;
  throw new UsageError(`${option}: ${publicKeyFault(text, 'device')}`);
}
