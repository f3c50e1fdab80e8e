// From a hostname to a stream, by names and by own domains; who lost one of them talks no longer.
import { describe, expect, test } from 'vitest';
import type { DeviceName } from '../../dns/name.ts';
import { OwnDomains, type ServedDomainRow } from '../../relay/registry/served-domains.ts';
import { Router } from '../../relay/route.ts';
import { MemoryTunnel } from '../world/memory-tunnel.ts';
import { hostname } from './registry/zone-fixture.ts';

/** What the registry knows, to be changed by the test. */
class Vendor {
  readonly holders = new Map<string, string>();
  readonly successors = new Map<string, DeviceName>();
  readonly tunnels = new Map<string, MemoryTunnel>();
  domains = OwnDomains.NONE;
  readonly router = new Router({
    zone: hostname('vendor.example'),
    holderOf: (name) => this.holders.get(name),
    successorOf: (name) => this.successors.get(name),
    ownDomainOf: (text) => this.domains.of(text),
    pick: (thumbprint) => this.tunnels.get(thumbprint)?.relay,
    awaySinceMs: () => undefined,
    stopping: () => false,
    streamsPerVisitor: 10,
  });

  /** A name with a device that is connected; its key is called as the name. */
  device(name: string): MemoryTunnel {
    const tunnel = new MemoryTunnel();
    this.holders.set(name, name);
    this.tunnels.set(name, tunnel);
    return tunnel;
  }

  own(domain: string, row: Partial<ServedDomainRow> | undefined): void {
    const whole = row && { name: 'alice', workspace: null, wildcard: 0, ...row };
    this.domains = this.domains.with([[domain, whole]]);
  }

  visit(to: string) {
    const from = { address: '192.0.2.7', port: 50_000, trust: 0, via: 'relay' } as const;
    const reached = this.router.reach({ ...from, hostname: to });
    return 'kind' in reached ? reached.kind : reached;
  }

  /** Which device and workspace a visitor gets to. */
  async place(to: string): Promise<string> {
    const counts = [...this.tunnels].map(([key, { headers }]) => [key, headers.length] as const);
    const reached = this.visit(to);
    if (typeof reached === 'string') return reached;
    reached.write('hello');
    for (const tunnel of this.tunnels.values()) await tunnel.settle();
    for (const [key, count] of counts) {
      const header = this.tunnels.get(key)?.headers[count];
      if (header !== undefined) return `${key} ${header.name}/${header.workspace}`;
    }
    return 'nowhere';
  }

  /** A stream, and whether it was cut. */
  stream(to: string) {
    const reached = this.visit(to);
    if (typeof reached === 'string') throw new Error(reached);
    const seen = { cut: false };
    reached.events = {
      data: () => undefined,
      end: () => undefined,
      drain: () => undefined,
      broken: () => {
        seen.cut = true;
      },
    };
    return seen;
  }
}

describe('an own domain', () => {
  test('of a workspace leads to it, and to it alone', async () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.own('app.example.org', { workspace: 'code' });
    expect(await vendor.place('app.example.org')).toBe('alice alice/code');
    expect(await vendor.place('code.app.example.org')).toBe('no-such-name');
    expect(await vendor.place('example.org')).toBe('no-such-name');
  });

  test('of the whole device is answered as the bare name; below its wildcard are the workspaces', async () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.own('app.example.org', {});
    expect(await vendor.place('app.example.org')).toBe('no-such-workspace');
    expect(await vendor.place('alice.vendor.example')).toBe('no-such-workspace');
    expect(await vendor.place('code.app.example.org')).toBe('no-such-name');
    vendor.own('app.example.org', { wildcard: 1 });
    expect(await vendor.place('code.app.example.org')).toBe('alice alice/code');
    expect(await vendor.place('lan.app.example.org')).toBe('no-such-workspace');
    expect(await vendor.place('8080--code.app.example.org')).toBe('no-such-workspace');
    expect(await vendor.place('a.code.app.example.org')).toBe('no-such-name');
  });

  test('with a wildcard of a workspace leads there from everywhere below', async () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.own('app.example.org', { workspace: 'code', wildcard: 1 });
    expect(await vendor.place('app.example.org')).toBe('alice alice/code');
    expect(await vendor.place('anything.app.example.org')).toBe('alice alice/code');
  });

  test('A-30 does not reach a workspace of another device', async () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.device('bobby');
    vendor.own('app.example.org', { wildcard: 1 });
    vendor.own('x.app.example.org', { name: 'bobby', workspace: 'notes' });
    expect(await vendor.place('code.app.example.org')).toBe('alice alice/code');
    expect(await vendor.place('bobby.app.example.org')).toBe('alice alice/bobby');
    // Exactly proven beats the wildcard above.
    expect(await vendor.place('x.app.example.org')).toBe('bobby bobby/notes');
    expect(await vendor.place('code.bobby.app.example.org')).toBe('no-such-name');
  });

  test('follows its name, and leads nowhere without it', async () => {
    const vendor = new Vendor();
    const tunnel = vendor.device('alice');
    vendor.own('app.example.org', { workspace: 'code' });
    vendor.holders.delete('alice');
    expect(await vendor.place('app.example.org')).toBe('no-such-name');
    vendor.tunnels.set('alice', tunnel);
    vendor.holders.set('anna', 'alice');
    vendor.own('app.example.org', { name: 'anna', workspace: 'code' });
    expect(await vendor.place('app.example.org')).toBe('alice anna/code');
  });

  test('that goes to another device, or to nobody, cuts its streams, and no others', () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.device('bobby');
    vendor.own('app.example.org', { workspace: 'code' });
    vendor.own('www.example.org', { workspace: 'code' });
    const [app, www, name] = [
      'app.example.org',
      'www.example.org',
      'code.alice.vendor.example',
    ].map((to) => vendor.stream(to));
    vendor.router.review(['alice']);
    expect([app?.cut, www?.cut, name?.cut]).toEqual([false, false, false]);
    vendor.own('app.example.org', { name: 'bobby', workspace: 'code' });
    vendor.router.review(['alice', 'bobby']);
    expect([app?.cut, www?.cut, name?.cut]).toEqual([true, false, false]);
    vendor.own('www.example.org', undefined);
    vendor.router.review(['alice']);
    expect([www?.cut, name?.cut]).toEqual([true, false]);
  });

  test('of a device that is renamed keeps its streams', () => {
    const vendor = new Vendor();
    vendor.device('alice');
    vendor.own('app.example.org', { workspace: 'code' });
    const app = vendor.stream('app.example.org');
    vendor.holders.delete('alice');
    vendor.holders.set('anna', 'alice');
    vendor.own('app.example.org', { name: 'anna', workspace: 'code' });
    vendor.router.review(['alice', 'anna']);
    expect(app.cut).toBe(false);
  });
});
