import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { PageFiles } from "./build-page.js";

/** Nothing from elsewhere; WebAssembly may be compiled. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:";

/** Serves the files on this machine alone. @param port - 0 takes a free one */
export async function servePage(
  files: PageFiles,
  { port }: { port: number },
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(({ url = "/" }, response) => {
    const found = files.get(decodeURIComponent(new URL(url, "http://localhost").pathname));
    response.writeHead(found ? 200 : 404, {
      "content-type": found?.type ?? "text/plain",
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
    });
    response.end(found?.body ?? "not found");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
