// Who does a deed: what a deed judges by, and what the history remembers.

export type By =
  | { readonly kind: 'owner'; readonly ownerId: string }
  | { readonly kind: 'device'; readonly thumbprint: string }
  /** Whoever may use the command line on the relay's machine. */
  | { readonly kind: 'operator'; readonly user: string };

/** `owner:ID`, `device:THUMBPRINT` or `cli:USER`. */
export function actorText(by: By): string {
  switch (by.kind) {
    case 'owner':
      return `owner:${by.ownerId}`;
    case 'device':
      return `device:${by.thumbprint}`;
    case 'operator':
      return `cli:${by.user}`;
  }
}
