import { createHash } from "node:crypto";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createRawServer } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Fault } from "../testing/faults.js";
import { listen } from "../testing/listen.js";
import { serveBody } from "../testing/serve-body.js";
import { createDirectFetch, DirectResponse } from "./direct-fetch.js";
import { fetchFile } from "./fetch-file.js";

/** No two pieces of it are equal. */
const CONTENT = Buffer.from(Uint32Array.from({ length: 1_000_003 }, (_, i) => (i * 2654435761) % 2 ** 32).buffer);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const directFetch = createDirectFetch();

let fault: Fault | null = null;
let seen: { method: string | undefined; headers: Readonly<Record<string, unknown>> }[] = [];
let server: Awaited<ReturnType<typeof listen>>;
beforeEach(async () => {
  fault = null;
  seen = [];
  server = await listen(async (request, response) => {
    seen.push({ method: request.method, headers: request.headers });
    if (request.url === "/zip") {
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(CONTENT));
      return;
    }
    if (request.url === "/small") {
      response.writeHead(404, "Gone fishing", { "x-error-code": "EntryNotFound" }).end("nothing here");
      return;
    }
    await serveBody({ request, response, bytes: CONTENT, etag: "one", fault });
  });
});
afterEach(() => server.close());

/** The whole body by {@link DirectResponse.consume}, with a pause after every piece where `isSlow`. */
async function consumed(response: Response, { isSlow = false } = {}): Promise<Buffer> {
  expect(response).toBeInstanceOf(DirectResponse);
  const pieces: Buffer[] = [];
  let isBusy = false;
  await (response as DirectResponse).consume((bytes) => {
    expect(isBusy).toBe(false);
    pieces.push(Buffer.from(bytes));
    if (!isSlow) return undefined;
    isBusy = true;
    return new Promise((next) =>
      setImmediate(() => {
        isBusy = false;
        next();
      }),
    );
  });
  return Buffer.concat(pieces);
}

describe("createDirectFetch", () => {
  test("a large body comes piece by piece, whole", async () => {
    const response = await directFetch(`${server.url}/file`, { headers: { authorization: "Bearer t" } });
    expect({ status: response.status, etag: response.headers.get("etag") }).toEqual({ status: 200, etag: '"one"' });
    expect(sha256(await consumed(response))).toBe(sha256(CONTENT));
    expect(seen).toEqual([
      { method: "GET", headers: expect.objectContaining({ authorization: "Bearer t", connection: "close" }) },
    ]);
  });

  test("nothing is read while a piece is being consumed", async () => {
    const response = await directFetch(`${server.url}/file`);
    expect(sha256(await consumed(response, { isSlow: true }))).toBe(sha256(CONTENT));
  });

  test("pieces are written where they are wanted; nothing else of that memory is touched", async () => {
    const response = (await directFetch(`${server.url}/file`)) as DirectResponse;
    const target = Buffer.alloc(CONTENT.length + 100, 7);
    let filled = 0;
    let inPlace = 0;
    let pieces = 0;
    await response.consume(
      (bytes) => {
        if (bytes.buffer === target.buffer && bytes.byteOffset === target.byteOffset + filled) inPlace += bytes.length;
        else target.set(bytes, filled);
        filled += bytes.length;
        // Every third piece takes its time, during which the memory is not offered.
        return ++pieces % 3 > 0 ? undefined : new Promise((next) => setImmediate(next));
      },
      () => target.subarray(filled, filled + 100_001),
    );
    expect(filled).toBe(CONTENT.length);
    expect(inPlace).toBeGreaterThan(0);
    expect(sha256(target.subarray(0, filled))).toBe(sha256(CONTENT));
    expect(new Set(target.subarray(filled))).toEqual(new Set([7]));
  });

  test("the same bytes come through the stream", async () => {
    const response = await directFetch(`${server.url}/file`, { headers: { range: "bytes=1000000-" } });
    expect(response.status).toBe(206);
    expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(sha256(CONTENT.subarray(1_000_000)));
  });

  test("a small answer, one that is encoded and one to HEAD are ordinary responses", async () => {
    const small = await directFetch(`${server.url}/small`);
    expect([small.status, small.statusText, small.headers.get("x-error-code")]).toEqual([
      404,
      "Gone fishing",
      "EntryNotFound",
    ]);
    expect(await small.text()).toBe("nothing here");
    const zipped = await directFetch(`${server.url}/zip`);
    expect(sha256(new Uint8Array(await zipped.arrayBuffer()))).toBe(sha256(CONTENT));
    const head = await directFetch(`${server.url}/file`, { method: "HEAD" });
    expect([head.headers.get("content-length"), head.body]).toEqual([String(CONTENT.length), null]);
  });

  test("a body that is cut rejects after the bytes that came", async () => {
    fault = { match: "", kind: "cut", at: 0.5 };
    const response = await directFetch(`${server.url}/file`);
    let count = 0;
    const taken = (response as DirectResponse).consume((bytes) => {
      count += bytes.length;
      return undefined;
    });
    await expect(taken).rejects.toThrow(/closed before the end|aborted|ECONNRESET/);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(CONTENT.length / 2);
  });

  test("what the consumer throws ends the connection and reaches the caller", async () => {
    const response = (await directFetch(`${server.url}/file`)) as DirectResponse;
    const taken = response.consume(() => {
      throw new Error("enough");
    });
    await expect(taken).rejects.toThrow("enough");
    const later = (await directFetch(`${server.url}/file`)) as DirectResponse;
    await expect(later.consume(() => Promise.reject(new Error("no more")))).rejects.toThrow("no more");
  });

  test("an abort ends a body that hangs, with its reason", async () => {
    fault = { match: "", kind: "hang" };
    const controller = new AbortController();
    const response = (await directFetch(`${server.url}/file`, { signal: controller.signal })) as DirectResponse;
    const taken = response.consume(() => {
      controller.abort(new Error("out of patience"));
      return undefined;
    });
    await expect(taken).rejects.toThrow("out of patience");
    await expect(directFetch(`${server.url}/file`, { signal: controller.signal })).rejects.toThrow("out of patience");
  });

  test("more than the stated length is an error", async () => {
    const raw = createRawServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${1 << 20}\r\n\r\n`);
        socket.end(Buffer.alloc((1 << 20) + 1));
      });
    });
    await new Promise<void>((resolve) => raw.listen(0, "127.0.0.1", resolve));
    const { port } = raw.address() as AddressInfo;
    const response = (await directFetch(`http://127.0.0.1:${port}/`)) as DirectResponse;
    await expect(response.consume(() => undefined)).rejects.toThrow("more than the stated length");
    raw.close();
  });

  test("no server there rejects", async () => {
    await server.close();
    await expect(directFetch(`${server.url}/file`)).rejects.toThrow("ECONNREFUSED");
    server = await listen(async () => {});
  });

  test("over TLS, and only with a certificate that is trusted", async () => {
    const secure = createTlsServer({ key: KEY, cert: CERTIFICATE }, (_, response) => {
      response.writeHead(200, { "content-length": CONTENT.length }).end(CONTENT);
    });
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    const url = `https://localhost:${(secure.address() as AddressInfo).port}/file`;
    const response = await createDirectFetch({ ca: CERTIFICATE })(url);
    expect(sha256(await consumed(response))).toBe(sha256(CONTENT));
    await expect(directFetch(url)).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    secure.close();
  });
});

describe("fetchFile", () => {
  test("takes the socket, unless the environment names a proxy", async () => {
    expect(await fetchFile({})(`${server.url}/file`)).toBeInstanceOf(DirectResponse);
    const proxied = await fetchFile({ HTTPS_PROXY: "http://proxy:3128" })(`${server.url}/file`);
    expect(proxied).not.toBeInstanceOf(DirectResponse);
    await proxied.body?.cancel();
  });
});

/** Of a server that exists in this test only; self-signed for `localhost`, until 2126. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGBPOqbql4xrV98Ix
zvbmF5obf3iy6PmESFNiYwsbHj+hRANCAARsMjxolcG03dC308j0i3g6tEQHIbDk
H5TxTetrICg0mKB5A++sf650Ho2ICtjT+c9YOjzDuLFHNK+ZyQgdbCs8
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUKjG3xwcFI3qxI+5AH8Sg/O6jbycwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzE3MzgxNVoYDzIxMjYxMTAz
MTczODE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARsMjxolcG03dC308j0i3g6tEQHIbDkH5TxTetrICg0mKB5A++sf650
Ho2ICtjT+c9YOjzDuLFHNK+ZyQgdbCs8o2kwZzAdBgNVHQ4EFgQUPqRxl1P1UrP5
5JGcyosyZ8zfw6MwHwYDVR0jBBgwFoAUPqRxl1P1UrP55JGcyosyZ8zfw6MwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIhAMOWpjDSY8Rs1vwiAPTUlaIT4meLxkb3Zp6kiYGKwbV1AiBwjQSCfHG1
/38LqBZyOau/5M69xIWtj32jPe8pbO+rfg==
-----END CERTIFICATE-----`;
