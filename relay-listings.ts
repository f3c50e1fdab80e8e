// What the vendor looks up in his registry: names, owners, history. A list of any length is read page
// by page and goes out as it comes.

import { type DeviceName, parseDeviceName } from './dns/name.ts';
import { print, printJsonList } from './printing.ts';
import { mapped, pages, time } from './registry-pages.ts';
import {
  type ListedDeed,
  type ListedName,
  type ListedOwner,
  listHistory as readHistory,
  listNames as readNames,
  listOwners as readOwners,
} from './relay/registry/listings.ts';
import type { Registry } from './relay/registry/registry.ts';
import { withRegistry } from './relay-registry.ts';

export interface ListFlags {
  readonly name?: DeviceName | undefined;
  /** At most so many; all without it. */
  readonly limit?: number | undefined;
  readonly json: boolean;
}

export function listNames(configFile: string, flags: ListFlags): Promise<void> {
  const { name } = flags;
  return withRegistry(configFile, async ({ registry }) => {
    const page = (last: ListedName | undefined, limit: number) =>
      readNames({
        limit,
        ...(name === undefined ? {} : { name }),
        ...(last === undefined ? {} : { after: last.name }),
      });
    const rows = pages(registry, page, flags.limit);
    if (flags.json) return printJsonList(mapped(rows, (row) => nameJson(row, registry)));
    const none = name === undefined ? 'There are no names yet.' : `Nobody has the name ${name}.`;
    await printLines(
      mapped(rows, (row) => nameLine(row, registry)),
      none,
    );
  });
}

export function listOwners(configFile: string, flags: Omit<ListFlags, 'name'>): Promise<void> {
  return withRegistry(configFile, async ({ registry }) => {
    const page = (last: ListedOwner | undefined, limit: number) =>
      readOwners({ limit, ...(last === undefined ? {} : { after: last.id }) });
    const rows = pages(registry, page, flags.limit);
    if (flags.json) {
      return printJsonList(
        mapped(rows, ({ id, email, createdAtMs, names }) => ({
          ...{ id, email: email ?? null, names },
          created: time(createdAtMs),
        })),
      );
    }
    await printLines(
      mapped(
        rows,
        ({ id, email, names }) =>
          `${id.padEnd(16)}  ${(email ?? 'no address').padEnd(40)}  ${names} names`,
      ),
      'Nobody has signed in yet.',
    );
  });
}

export function listHistory(configFile: string, flags: ListFlags): Promise<void> {
  const { name } = flags;
  return withRegistry(configFile, async ({ registry }) => {
    const page = (last: ListedDeed | undefined, limit: number) =>
      readHistory({
        limit,
        ...(name === undefined ? {} : { name }),
        ...(last === undefined ? {} : { before: last.id }),
      });
    const rows = pages(registry, page, flags.limit);
    if (flags.json) {
      return printJsonList(
        mapped(rows, ({ id, atMs, actor, what, name: about, thumbprint, detail }) => ({
          ...{ id, at: time(atMs), what, name: about ?? null, actor },
          ...{ thumbprint: thumbprint ?? null, detail: detail ?? null },
        })),
      );
    }
    await printLines(
      mapped(rows, deedLine),
      `Nothing has happened to ${name === undefined ? 'any name yet' : `the name ${name}`}.`,
    );
  });
}

/** `none` goes to stderr when there is no line: an empty list looks like a command that did nothing. */
async function printLines(lines: AsyncIterable<string>, none: string): Promise<void> {
  let printed = 0;
  for await (const line of lines) {
    await print(line);
    printed += 1;
  }
  if (printed === 0) process.stderr.write(`${none}\n`);
}

function deedLine({ atMs, what, name, actor, detail }: ListedDeed): string {
  const words = detail === undefined ? '' : `  ${detail}`;
  return `${time(atMs)}  ${what.padEnd(18)}  ${name ?? '-'}  by ${actor}${words}`;
}

function nameJson(row: ListedName, registry: Registry) {
  const { name, state, ownerId, successor, untilMs, software, revoked, lastSeenAtMs } = row;
  return {
    ...{ name, state, deviceKey: deviceKeyOf(row, registry), owner: ownerId ?? null, revoked },
    ...{ successor: successor ?? null, until: time(untilMs) },
    ...{ software: software ?? null, lastSeen: time(lastSeenAtMs) },
  };
}

function nameLine(row: ListedName, registry: Registry): string {
  return `${row.name.padEnd(32)}  ${deviceKeyOf(row, registry) ?? '-'}  ${stateWords(row)}`;
}

function stateWords({ state, revoked, lastSeenAtMs, successor, untilMs }: ListedName): string {
  switch (state) {
    case 'held':
      return revoked ? 'revoked' : (time(lastSeenAtMs) ?? 'never seen');
    case 'former':
      return `leads to ${successor} until ${time(untilMs)}`;
    case 'ordered':
      return `ordered, until ${time(untilMs)}`;
    case 'quarantined':
      return `nobody's, until ${time(untilMs)}`;
  }
}

/** The public key of the device that has the name, or has what the name leads to. */
function deviceKeyOf({ name, state, successor }: ListedName, registry: Registry): string | null {
  const present = state === 'held' ? name : state === 'former' ? successor : undefined;
  const held = present === undefined ? undefined : parseDeviceName(present);
  const device = held === undefined ? undefined : registry.snapshot.deviceOf(held);
  return device?.publicKey ?? null;
}
