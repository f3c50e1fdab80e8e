// A JSON object that the relay has answered with: members are read by name and kind, and one that is
// not as it should be fails with what to do. Members that are not asked for are ignored.
import { ApiError } from './api-error.ts';

export class Answer {
  readonly #members: ReadonlyMap<string, unknown>;
  readonly #where: string;

  constructor(text: string, where: string) {
    this.#where = where;
    this.#members = parse(text);
  }

  text(name: string, otherwise?: string): string {
    const value = this.#members.get(name);
    if (typeof value === 'string') return value;
    return otherwise ?? this.#refuse();
  }

  /** `undefined` when it is absent, or null. */
  optionalText(name: string): string | undefined {
    const value = this.#members.get(name);
    return value === undefined || value === null ? undefined : this.text(name);
  }

  number(name: string): number {
    const value = this.#members.get(name);
    return typeof value === 'number' && Number.isFinite(value) ? value : this.#refuse();
  }

  /** `undefined` when it is absent, or null. */
  optionalNumber(name: string): number | undefined {
    const value = this.#members.get(name);
    return value === undefined || value === null ? undefined : this.number(name);
  }

  flag(name: string): boolean {
    const value = this.#members.get(name);
    return typeof value === 'boolean' ? value : this.#refuse();
  }

  /** `undefined` when it is absent, or null. */
  optionalFlag(name: string): boolean | undefined {
    const value = this.#members.get(name);
    return value === undefined || value === null ? undefined : this.flag(name);
  }

  /** A list of objects. */
  list(name: string): readonly Answer[] {
    const value = this.#members.get(name);
    if (!Array.isArray(value)) return this.#refuse();
    return value.map((item: unknown) => new Answer(JSON.stringify(item), this.#where));
  }

  #refuse(): never {
    throw new ApiError(
      'answer',
      `The relay at ${this.#where} answered in a way that this version cannot read. Update this ` +
        'device, or ask the vendor to update the relay.',
    );
  }
}

function parse(text: string): ReadonlyMap<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    return new Map(typeof json === 'object' && json !== null ? Object.entries(json) : []);
  } catch {
    return new Map();
  }
}
