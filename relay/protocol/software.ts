// What this build calls itself in a hello and in `--version`.
import manifest from '../../package.json' with { type: 'json' };

export const SOFTWARE = `waygate/${manifest.version}`;
