// Routes in a context of their own: hooks and parsers that they add hold for them alone.
import type { FastifyInstance, FastifyPluginCallback } from 'fastify';

export function apart<Parts>(
  routes: (server: FastifyInstance, parts: Parts) => void,
  parts: Parts,
): FastifyPluginCallback {
  return (server, _options, done) => {
    routes(server, parts);
    done();
  };
}
