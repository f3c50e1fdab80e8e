// What `waygate try` is given on the command line, checked. Rejects with a UsageError.
import { parseTarget, targetFault } from './device-client/config.ts';
import {
  type Hostname,
  parseHostname,
  parseWorkspaceName,
  workspaceNameFault,
} from './dns/name.ts';
import type { TryWorkspace } from './try-files.ts';
import { UsageError } from './usage-error.ts';

export function parseTryZone(text: string): Hostname {
  const zone = parseHostname(text);
  if (zone !== undefined) return zone;
  throw new UsageError('--zone must be a domain name, such as vendor.localhost.');
}

/** Each text is NAME=URL. */
export function parseTryWorkspaces(texts: readonly string[]): TryWorkspace[] {
  const found = new Map<string, TryWorkspace>();
  for (const text of texts) {
    const workspace = parseTryWorkspace(text);
    if (found.has(workspace.name)) {
      throw new UsageError(`--workspace ${workspace.name} is given twice. Choose another name.`);
    }
    found.set(workspace.name, workspace);
  }
  return [...found.values()];
}

function parseTryWorkspace(text: string): TryWorkspace {
  const equals = text.indexOf('=');
  if (equals === -1) {
    throw new UsageError('--workspace must be NAME=URL, such as code=http://127.0.0.1:8080.');
  }
  const given = text.slice(0, equals);
  const name = parseWorkspaceName(given);
  if (name === undefined) {
    throw new UsageError(`--workspace: the name "${given}" ${workspaceNameFault(given)}.`);
  }
  const target = text.slice(equals + 1);
  if (parseTarget(target) !== undefined) return { name, target };
  throw new UsageError(`--workspace ${name}: the URL ${targetFault(target)}`);
}
