import { connect, createServer, type Socket } from "node:net";

export interface ByteProxy {
  readonly url: string;
  /** Bytes that clients sent since the last {@link arm}. */
  readonly sent: number;
  /** Counts anew and calls `reached` once, when clients have sent `bytes` bytes. */
  arm(bytes: number, reached: () => void): void;
  close(): Promise<void>;
}

/** Passes connections on to the server at `target` and counts what clients send. What has arrived here gets there, also of a client that dies. */
export async function startByteProxy(target: string): Promise<ByteProxy> {
  const { hostname, port } = new URL(target);
  let sent = 0;
  let limit = Number.POSITIVE_INFINITY;
  let reached = () => {};
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    }
    client.on("data", (chunk) => {
      upstream.write(chunk);
      sent += chunk.length;
      if (sent < limit) return;
      limit = Number.POSITIVE_INFINITY;
      reached();
    });
    client.on("end", () => upstream.end());
    // A killed client resets its connection.
    client.on("error", () => upstream.end());
    upstream.on("error", () => client.destroy());
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    get sent() {
      return sent;
    },
    arm(bytes, then) {
      sent = 0;
      limit = bytes;
      reached = then;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
