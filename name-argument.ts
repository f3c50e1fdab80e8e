// Names that were given on the command line. `argument` is what the person called it by: `--name`, `NAME`.

import { domainTextFault } from './dns/domain-text.ts';
import {
  type DeviceName,
  deviceNameFault,
  type Hostname,
  parseDeviceName,
  parseHostname,
  parseWorkspaceName,
  type WorkspaceName,
  workspaceNameFault,
} from './dns/name.ts';
import { UsageError } from './usage-error.ts';

export function nameOf(argument: string, text: string): DeviceName {
  const name = parseDeviceName(text);
  if (name !== undefined) return name;
  throw new UsageError(`${argument}: "${text}" ${deviceNameFault(text)}.`);
}

export function optionalNameOf(argument: string, text: string | undefined): DeviceName | undefined {
  return text === undefined ? undefined : nameOf(argument, text);
}

export function optionalWorkspaceOf(
  argument: string,
  text: string | undefined,
): WorkspaceName | undefined {
  if (text === undefined) return undefined;
  const name = parseWorkspaceName(text);
  if (name !== undefined) return name;
  throw new UsageError(`${argument}: "${text}" ${workspaceNameFault(text)}.`);
}

/** A domain of somebody's own; whether it can be had, the relay knows. */
export function domainOf(argument: string, text: string): Hostname {
  const fault = domainTextFault(text);
  const domain = parseHostname(text);
  if (fault === undefined && domain !== undefined) return domain;
  throw new UsageError(`${argument}: "${text}" ${fault}.`);
}
