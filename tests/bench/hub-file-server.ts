// Serves one large file to `bench hub-download`, from memory, in a process of its own: HEAD, GET and single ranges.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";

const bytes = Number(process.argv[2]);
/** The file is this block again and again; a block of odd length, so that no chunk equals its neighbour. */
const block = Buffer.alloc((1 << 20) - 1);
for (let i = 0, state = 1; i < block.length; i++) {
  state = (state * 48271) % 2147483647;
  block[i] = state;
}
const hash = createHash("sha256");
for (let at = 0; at < bytes; at += block.length) hash.update(block.subarray(0, Math.min(block.length, bytes - at)));

const server = createServer((request, response) => {
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, {
    "content-length": bytes - from,
    "content-type": "application/octet-stream",
    etag: '"one"',
    ...(from > 0 ? { "content-range": `bytes ${from}-${bytes - 1}/${bytes}` } : {}),
  });
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  let at = from;
  const send = () => {
    while (at < bytes) {
      const start = at % block.length;
      const part = block.subarray(start, Math.min(block.length, start + bytes - at));
      at += part.length;
      if (!response.write(part)) {
        response.once("drain", send);
        return;
      }
    }
    response.end();
  };
  send();
});
server.listen(0, "127.0.0.1", () => {
  process.send?.({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.safetensors`,
    sha256: hash.digest("hex"),
  });
});
process.on("message", () => process.exit(0));
