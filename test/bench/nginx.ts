// nginx in its two parts: the workspace that everybody forwards to, and the TLS reverse proxy that is
// the yardstick. Both with one worker, because one relay process is compared with them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, listening, type Processes } from './processes.ts';

/** Visitors ask for these; every system serves both, so that TLS hellos and heads are alike. */
export const HOSTS = {
  /** Small answers and the download. */
  bench: 'bench.alice.vendor.localhost',
  /** Takes uploads. */
  sink: 'sink.alice.vendor.localhost',
} as const;

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A self-signed ECDSA P-256 certificate, the kind that the relay has. */
export function makeCertificate(folder: string): Certificate {
  const cert = join(folder, 'cert.pem');
  const key = join(folder, 'key.pem');
  const names = Object.values(HOSTS).map((host) => `DNS:${host}`);
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
      .concat(['-subj', '/CN=bench', '-addext', `subjectAltName=${names.join(',')}`])
      .concat(['-keyout', key, '-out', cert]),
    { stdio: 'ignore' },
  );
  return { cert, key };
}

export interface Origin {
  readonly port: number;
  readonly downloadBytes: number;
}

/** The workspace: `/` answers 1 KiB, `/download` is a large file. */
export async function startOrigin(
  processes: Processes,
  folder: string,
  downloadBytes: number,
): Promise<Origin> {
  const root = join(folder, 'www');
  mkdirSync(root);
  writeFileSync(join(root, 'index.html'), 'x'.repeat(1_024));
  writeFileSync(join(root, 'download'), '');
  // A hole: reading it costs no disk.
  truncateSync(join(root, 'download'), downloadBytes);
  const port = await freePort();
  const server = `
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${root};
    open_file_cache max=10;
    tcp_nopush on;
  }`;
  const file = configFile(folder, 'origin', server);
  await listening(port, processes.start('origin', 'nginx', ['-c', file]));
  return { port, downloadBytes };
}

export interface Ports {
  readonly bench: number;
  readonly sink: number;
}

/** TLS 1.3 and HTTP/1.1 in front of two plain ports, with connections to them kept open. */
export async function startTlsProxy(
  processes: Processes,
  plan: { folder: string; name: string; certificate: Certificate; ports: Ports },
): Promise<{ port: number; pid: number }> {
  const { folder, name, certificate, ports } = plan;
  const port = await freePort();
  const servers = (['bench', 'sink'] as const).map(
    (part, index) => `
  upstream ${part} { server 127.0.0.1:${ports[part]}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl${index === 0 ? ' backlog=4096' : ''};
    server_name ${HOSTS[part]};
    ssl_certificate ${certificate.cert};
    ssl_certificate_key ${certificate.key};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:tls:10m;
    client_max_body_size 0;
    location / {
      proxy_pass http://${part};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }
  }`,
  );
  const file = configFile(folder, name, servers.join('\n'));
  const child = processes.start(name, 'nginx', ['-c', file]);
  await listening(port, child);
  return { port, pid: child.pid ?? 0 };
}

function configFile(folder: string, name: string, servers: string): string {
  const temp = join(folder, `${name}-temp`);
  mkdirSync(temp);
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `  ${kind}_temp_path ${join(temp, kind)};`,
  );
  const text = `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${join(temp, 'pid')};
error_log ${join(folder, `${name}.log`)} error;
events { worker_connections 8192; }
http {
${temps.join('\n')}
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  keepalive_timeout 600;
${servers}
}
`;
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, text);
  return file;
}
