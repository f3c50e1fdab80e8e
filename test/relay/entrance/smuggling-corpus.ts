// Requests as attackers and broken software write them, as plain data: the same cases are run
// against the pure gate and against a live relay. Ids are those of the threat list; H1-2 stands for
// chunked coding. All are for the name `CORPUS_HOSTNAME` of smuggling-case.ts.
import type { SmugglingCase } from './smuggling-case.ts';
import { connectionCases, fieldCases, upgradeCases } from './smuggling-fields.ts';
import { chunkedCases, framingCases } from './smuggling-framing.ts';
import { hostCases, lineCases } from './smuggling-lines.ts';

export const SMUGGLING_CORPUS: readonly SmugglingCase[] = [
  ...framingCases,
  ...chunkedCases,
  ...hostCases,
  ...lineCases,
  ...connectionCases,
  ...fieldCases,
  ...upgradeCases,
];
