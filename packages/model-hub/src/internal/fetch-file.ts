import process from "node:process";
import { createDirectFetch } from "./direct-fetch.js";
import type { Fetch } from "./http-client.js";

/**
 * `fetch` for files: {@link createDirectFetch}, unless the application's `fetch` goes through something that a socket of one's own would pass by: a
 * proxy that the environment names, or a dispatcher that was set (undici keeps it under this symbol).
 */
export function fetchFile(env: Readonly<Record<string, string | undefined>> = process.env): Fetch {
  const isProxied = ["http_proxy", "https_proxy", "all_proxy"].some((name) => env[name] || env[name.toUpperCase()]);
  const directFetch = createDirectFetch();
  return (url, init) => {
    const dispatcher = (globalThis as Record<symbol, object | undefined>)[Symbol.for("undici.globalDispatcher.1")];
    const isRouted = isProxied || (dispatcher !== undefined && dispatcher.constructor.name !== "Agent");
    return isRouted ? globalThis.fetch(url, init) : directFetch(url, init);
  };
}
