import type { IncomingMessage, ServerResponse } from "node:http";
import type { Fault } from "./faults.js";

/** Answers GET and HEAD for `bytes` as a storage server does: ETag, Range, If-Range, 206, 416; then as the fault says. */
export async function serveBody({
  request,
  response,
  bytes,
  etag,
  fault,
  headers = {},
}: {
  request: IncomingMessage;
  response: ServerResponse;
  bytes: Uint8Array;
  etag: string;
  fault: Fault | null;
  headers?: Readonly<Record<string, string>>;
}): Promise<void> {
  const tag = fault?.kind === "etag" ? fault.etag : etag;
  response.setHeader("accept-ranges", "bytes");
  response.setHeader("etag", `"${tag}"`);
  response.setHeader("content-type", "application/octet-stream");
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const ifRange = request.headers["if-range"];
  const usesRange =
    range !== null && fault?.kind !== "ignore-range" && (ifRange === undefined || ifRange === `"${tag}"`);
  let start = 0;
  let end = bytes.length;
  if (usesRange) {
    start = Number(range[1]);
    end = range[2] === "" ? bytes.length : Math.min(bytes.length, Number(range[2]) + 1);
    if (start >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const shown = fault?.kind === "bad-range" ? Math.max(0, start - 1) : start;
    response.setHeader("content-range", `bytes ${shown}-${end - 1}/${bytes.length}`);
  }
  let body = Buffer.from(bytes.subarray(start, end));
  if (fault?.kind === "corrupt" && body.length > 0) {
    const at = Math.min(bytes.length - 1, Math.floor(bytes.length * fault.at)) - start;
    if (at >= 0 && at < body.length) body[at]! ^= 0xff;
  }
  if (fault?.kind === "length") {
    body = fault.delta < 0 ? body.subarray(0, fault.delta) : Buffer.concat([body, Buffer.alloc(fault.delta)]);
  }
  response.setHeader("content-length", body.length);
  response.writeHead(usesRange ? 206 : 200);
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  switch (fault?.kind) {
    case "cut": {
      const upTo = Math.max(0, Math.floor(bytes.length * fault.at) - start);
      response.flushHeaders();
      response.write(body.subarray(0, upTo), () => setTimeout(() => response.destroy(), 5));
      return;
    }
    case "hang":
      response.flushHeaders();
      response.write(body.subarray(0, fault.at === undefined ? 10 : Math.floor(body.length * fault.at)));
      return;
    case "drip":
      for (let at = 0; at < body.length && !response.destroyed; at += fault.pieceBytes) {
        response.write(body.subarray(at, at + fault.pieceBytes));
        await new Promise((resolve) => setTimeout(resolve, fault.pauseMs));
      }
      response.end();
      return;
    default:
      response.end(body);
  }
}
