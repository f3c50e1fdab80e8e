// What relay.yaml says of names, below `names:`: how long each state lasts, and the vendor's own words.
// Times are texts with their unit (`90d`, `24h`, `15m`, `10s`), as nobody reads milliseconds.
import { z } from 'zod';
import { NAME_POLICY, type NamePolicy } from './registry/policy.ts';

const NAMES_CONFIG_LIMITS = {
  /** Ten years: beyond that somebody has mistaken the unit. */
  durationMaxMs: 3_650 * 86_400_000,
  /** Each new name is compared with all of them. */
  brandsMax: 100,
} as const;

export const namesSchema: z.ZodType<NamePolicy> = z
  .strictObject({
    renameGrace: duration(NAME_POLICY.renameGraceMs),
    quarantine: duration(NAME_POLICY.quarantineMs),
    recoveryDelay: duration(NAME_POLICY.recoveryDelayMs),
    claimCode: duration(NAME_POLICY.claimTtlMs),
    orderCode: duration(NAME_POLICY.orderTtlMs),
    transferOffer: duration(NAME_POLICY.transferTtlMs),
    brands: z
      .array(
        z.string().regex(/^[a-z0-9-]{3,63}$/, {
          error: 'must be a word of 3 to 63 letters a-z, digits and hyphens, such as vendor.',
        }),
      )
      .max(NAMES_CONFIG_LIMITS.brandsMax)
      .default([]),
  })
  .transform((names) => ({
    renameGraceMs: names.renameGrace,
    quarantineMs: names.quarantine,
    recoveryDelayMs: names.recoveryDelay,
    claimTtlMs: names.claimCode,
    orderTtlMs: names.orderCode,
    transferTtlMs: names.transferOffer,
    brands: names.brands,
  }));

const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function duration(otherwise: number) {
  return z
    .string()
    .transform((text, context): number => {
      const [, count = '', unit = ''] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
      const ms = Number(count) * (UNITS_MS[unit] ?? Number.NaN);
      if (ms > 0 && ms <= NAMES_CONFIG_LIMITS.durationMaxMs) return ms;
      const message =
        'must be a time with its unit, up to ten years, such as 30d, 24h, 15m or 10s.';
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .default(otherwise);
}
