// What can go wrong with the registry: refusals that the caller can do something about, and faults of
// the database under it. The messages are for the operator and end with the next step.
export type RegistryErrorCode =
  | 'ERR_NAME_TAKEN'
  | 'ERR_NAME_QUARANTINED'
  | 'ERR_NAME_UNKNOWN'
  | 'ERR_NAME_RESERVED'
  | 'ERR_NAME_LOOKALIKE'
  | 'ERR_NOT_YOURS'
  | 'ERR_OWNER_UNKNOWN'
  | 'ERR_RECOVERY_UNKNOWN'
  | 'ERR_RECOVERY_WAITING'
  | 'ERR_RECOVERY_COOLING'
  | 'ERR_ORDER_UNKNOWN'
  | 'ERR_TRANSFER_UNKNOWN'
  | 'ERR_DOMAIN_TAKEN'
  | 'ERR_DOMAIN_UNKNOWN'
  | 'ERR_KEY_KNOWN'
  | 'ERR_TOO_MANY_NAMES'
  | 'ERR_TOO_MANY_RENAMES'
  | 'ERR_TOO_MANY_CLAIMS'
  | 'ERR_TOO_MANY_DOMAINS'
  | 'ERR_TOO_MANY_LETTERS'
  | 'ERR_DEVICE_UNKNOWN'
  | 'ERR_DEVICE_REVOKED'
  | 'ERR_ADDRESS_REFUSED'
  | 'ERR_CHALLENGE_REFUSED'
  | 'ERR_ZONE_DIFFERS'
  | 'ERR_REGISTRY_BUSY'
  | 'ERR_REGISTRY_FULL'
  | 'ERR_REGISTRY_MISSING'
  | 'ERR_REGISTRY_DAMAGED'
  | 'ERR_REGISTRY_NEWER'
  | 'ERR_REGISTRY_SHRUNK'
  | 'ERR_REGISTRY_UNAVAILABLE'
  | 'ERR_REGISTRY_CLOSED';

export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function unknownDevice(thumbprint: string): RegistryError {
  return new RegistryError(
    'ERR_DEVICE_UNKNOWN',
    `No device has the key ${thumbprint}. Enroll it first, by the public key that it shows.`,
  );
}
