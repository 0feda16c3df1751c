import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { HubApp } from "./create-app.js";

/** A listening server. */
export interface RunningServer {
  /** `http://127.0.0.1:8000` */
  readonly url: string;
  readonly port: number;
  /** Takes no new connection, lets answers in progress end for `graceMs`, then closes what is left (event streams among it). */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Listens on `host`:`port`. The default host is reachable from this machine only; put a proxy with TLS in front for others.
 *
 * @param port - 0 takes a free one. @defaultValue 8000
 * @param host - @defaultValue "127.0.0.1"
 * @throws the system's error (EADDRINUSE, EACCES) when it cannot listen
 */
export async function serve(
  app: Pick<HubApp, "fetch">,
  { port = 8000, host = "127.0.0.1" }: { port?: number; host?: string } = {},
): Promise<RunningServer> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    // A library leaves the process's Request and Response as they are.
    overrideGlobalObjects: false,
    // Retraining may hold an answer for minutes and uploads take as long as they take; headers must still come in time.
    serverOptions: { requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 65_000 },
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    port: address.port,
    async close({ graceMs = 2_000 } = {}) {
      const closed = new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      });
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed.finally(() => clearTimeout(timer));
    },
  };
}
