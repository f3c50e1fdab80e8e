// A device name that was given on the command line.
import { type DeviceName, deviceNameFault, parseDeviceName } from './dns/name.ts';
import { UsageError } from './usage-error.ts';

/** `argument` is what the person called it by: `--name`, `NAME`. */
export function nameOf(argument: string, text: string): DeviceName {
  const name = parseDeviceName(text);
  if (name !== undefined) return name;
  throw new UsageError(`${argument}: "${text}" ${deviceNameFault(text)}.`);
}

export function optionalNameOf(argument: string, text: string | undefined): DeviceName | undefined {
  return text === undefined ? undefined : nameOf(argument, text);
}
