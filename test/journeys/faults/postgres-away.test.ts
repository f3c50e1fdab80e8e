// The registry of two relays is a PostgreSQL server, and it goes away (F-5): tunnels and visitors go on,
// devices come back, and when it is there again, a change reaches both relays at once.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Installation, ZONE } from '../../world/installation.ts';
import { PostgresServer } from '../../world/postgres.ts';
import { waygateFile } from '../../world/program-place.ts';
import { requires } from '../../world/requires.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const need = requires('initdb', 'setpriv');

describe.skipIf(need.skip)('a relay whose PostgreSQL is away', { timeout: 90_000 }, () => {
  it('F-5 serves on, and is well again as soon as it is back', async () => {
    await using server = await PostgresServer.start();
    const postgresUrl = await server.createDatabase();
    await using workspace = await startWorkspace('here');
    await using vendor = await Installation.make({ postgresUrl });
    const alice = await vendor.device('alice', { code: workspace.target });
    const relay = await vendor.relay();
    const device = await alice.start();
    const url = `https://code.alice.${ZONE}:${vendor.port}/`;
    await untilStatus(vendor, url, 200, 10_000);

    await server.stop('SIGKILL');
    await relay.said(/^the registry has a fault; the last good snapshot goes on serving$/, 10_000);
    expect((await ask(vendor, url)).status).toBe(200);
    await device.end('SIGKILL');
    const again = await alice.start();
    await untilStatus(vendor, url, 200, 10_000);
    // A verb says what is wrong, and nothing of the password.
    const verb = promisify(execFile)(process.execPath, [
      ...[waygateFile(), 'relay', 'names', '--config', vendor.relayConfig],
    ]);
    await expect(verb).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/does not answer[\s\S]*See whether the server runs/),
    });
    await expect(verb).rejects.not.toMatchObject({ stderr: expect.stringContaining('no-secret') });

    await server.start();
    await relay.said(/^the registry is well again$/, 10_000);
    const { thumbprint } = await alice.makeKey();
    await vendor.withRegistry((registry) => registry.revoke({ thumbprint, actor: 'test' }));
    await until(async () => (await ask(vendor, url)).status === 503, 10_000, 'the revocation');
    expect(again.running).toBe(true);
    expect(JSON.stringify(relay.log)).not.toContain('no-secret');
    expect(await relay.end('SIGTERM')).toBe(0);
  });
});
