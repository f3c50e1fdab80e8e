// What the relay says of a device's names, and what its owner can change of them.
import { type DeviceName, parseDeviceName } from '../dns/name.ts';
import { printable } from '../relay/entrance/printable.ts';
import type { DeviceApi } from './api.ts';
import type { Answer } from './api-answer.ts';

export interface OwnName {
  readonly name: string;
  readonly state: 'held' | 'former';
  /** When a former name ends, ISO 8601. */
  readonly until?: string;
  /** What a former name leads to. */
  readonly successor?: string;
}

export interface OwnRecovery {
  readonly id: string;
  readonly name: string;
  readonly dueAt: string;
  /** Then it is not before that: its time begins when the mail server has the letter about it. */
  readonly waitsForMail: boolean;
}

export interface Standing {
  /** Whether the relay lets this key connect. */
  readonly enrolled: boolean;
  readonly names: readonly OwnName[];
  /** New keys that wait to take a name from this one. */
  readonly recoveries: readonly OwnRecovery[];
}

export async function askStanding(api: DeviceApi): Promise<Standing> {
  const answer = await api.ask('GET', '/v1/device');
  return {
    enrolled: answer.flag('enrolled'),
    names: answer.list('names').map(readName),
    recoveries: answer.list('recoveries').map((each) => ({
      id: shown(each, 'id'),
      name: shown(each, 'name'),
      dueAt: shown(each, 'dueAt'),
      waitsForMail: each.optionalFlag('waitsForMail') === true,
    })),
  };
}

/** Resolves with the end of the old name, ISO 8601. */
export async function renameDevice(
  api: DeviceApi,
  name: DeviceName,
  to: DeviceName,
): Promise<string> {
  const answer = await api.ask('POST', `/v1/device/names/${name}/rename`, { to });
  return shown(answer, 'formerUntil');
}

export async function releaseName(api: DeviceApi, name: DeviceName): Promise<void> {
  await api.ask('POST', `/v1/device/names/${name}/release`);
}

export async function vetoRecovery(api: DeviceApi, id: string): Promise<void> {
  await api.ask('POST', `/v1/device/recoveries/${encodeURIComponent(id)}/veto`);
}

function readName(answer: Answer): OwnName {
  const until = answer.optionalText('until');
  const successor = answer.optionalText('successor');
  return {
    name: parseDeviceName(answer.text('name')) ?? shown(answer, 'name'),
    state: answer.text('state') === 'former' ? 'former' : 'held',
    ...(until === undefined ? {} : { until: printable(until, CHARS_MAX) }),
    ...(successor === undefined ? {} : { successor: printable(successor, CHARS_MAX) }),
  };
}

/** Longer than any name, id or time. */
const CHARS_MAX = 64;

/** It is shown on a terminal. */
function shown(answer: Answer, member: string): string {
  return printable(answer.text(member), CHARS_MAX);
}
