// Figures of ours for Prometheus: numbers that are there anyway, read when somebody asks for them, so that
// counting costs nothing.
import { Gauge, type Registry } from 'prom-client';

/** `undefined`: it is not known at the moment, and stays as it was. */
export type Read = () => number | undefined | Promise<number | undefined>;

/** Makes gauges part of these registries; `prefix` begins their names, which are whole without one. */
export function gaugesOf(
  registers: Registry[],
  prefix = '',
): (name: string, help: string, read: Read) => void {
  return (name, help, read) => {
    new Gauge({
      name: prefix + name,
      help,
      registers,
      async collect() {
        const value = await read();
        if (value !== undefined) this.set(value);
      },
    });
  };
}
