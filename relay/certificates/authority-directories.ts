// Authorities as relay.yaml names them, with what their settings' files hold.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AcmeDirectory } from '../../certs/order.ts';
import type { AuthoritySettings } from '../certificates-config.ts';
import { readSecretFile } from '../secret-file.ts';

/** The message names the setting, the file, and what to do. */
class AuthoritySettingsError extends Error {
  override readonly name = 'AuthoritySettingsError';
  readonly code = 'ERR_AUTHORITY_SETTINGS';
}

export async function authorityDirectory(settings: AuthoritySettings): Promise<AcmeDirectory> {
  const { name, directory: url, caFile, contact, profile, preferredChain } = settings;
  const { externalAccount: account } = settings;
  return {
    ...{ name, url, contact, profile, preferredChain },
    caPem: caFile === undefined ? undefined : await readCa(name, caFile),
    externalAccount: account && {
      keyId: account.keyId,
      hmacKey: await readSecretFile(account.keyFile, `the external account of ${name}`),
    },
  };
}

async function readCa(name: string, file: string): Promise<string> {
  const setting = `certificates.authorities: caFile of ${name}`;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const message = `${setting}: ${file} cannot be read (${code}). Check path and owner.`;
    throw new AuthoritySettingsError(message, { cause: error });
  });
  try {
    return new X509Certificate(text).toString();
  } catch {
    throw new AuthoritySettingsError(
      `${setting}: ${file} holds no certificate in PEM. Put the one there that signs for the directory.`,
    );
  }
}
