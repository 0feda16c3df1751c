import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { loadavg } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { BenchResult } from "./result.js";

const SECONDS = 10;
const WARM_UP_SECONDS = 2;
const RATE = 1_000;
const CLIENTS = 200;

interface Load {
  /** Milliseconds from the moment a request was due, sorted: a server that falls behind cannot hide it (no coordinated omission). */
  readonly latencies: Float64Array;
  readonly failures: number;
  readonly achieved: number;
}

/** One keep-alive connection that sends prepared requests and counts the bytes of the answers. */
class Client {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #waiting: ((status: number) => void) | null = null;
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#take();
    });
  }
  static async open(port: number): Promise<Client> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new Client(socket);
  }
  send(request: string): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#socket.write(request);
    });
  }
  #take(): void {
    const head = this.#buffer.indexOf("\r\n\r\n");
    if (head < 0) return;
    const text = this.#buffer.toString("latin1", 0, head);
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
    let end = head + 4 + length;
    if (Number.isNaN(length)) {
      // Chunked: the last chunk is empty.
      const last = this.#buffer.indexOf("\r\n0\r\n\r\n", head);
      if (last < 0) return;
      end = last + 7;
    }
    if (this.#buffer.length < end) return;
    this.#buffer = this.#buffer.subarray(end);
    const resolve = this.#waiting;
    this.#waiting = null;
    resolve?.(Number(text.slice(9, 12)));
  }
  close(): void {
    this.#socket.destroy();
  }
}

/** Requests at a fixed rate over `clients` connections, each due at its own time whatever became of the others. */
async function openLoop({
  port,
  requests,
  clients: count,
  rate,
  seconds,
}: {
  port: number;
  requests: readonly string[];
  clients: number;
  rate: number;
  seconds: number;
}): Promise<Load> {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
  const total = rate * seconds;
  const latencies = new Float64Array(total);
  let failures = 0;
  const start = performance.now() + 50;
  await Promise.all(
    clients.map(async (client, k) => {
      for (let i = k; i < total; i += count) {
        const due = start + (1000 * i) / rate;
        const wait = due - performance.now();
        if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait - 0.5));
        // A timer may fire early: what is sent before it was due begins when it is sent.
        const begun = Math.min(due, performance.now());
        const status = await client.send(requests[i % requests.length]!);
        if (status !== 200) failures++;
        latencies[i] = performance.now() - begun;
      }
    }),
  );
  const elapsed = (performance.now() - start) / 1000;
  for (const client of clients) client.close();
  return { latencies: latencies.sort(), failures, achieved: total / elapsed };
}

/** As fast as the answers come: what the server can do at most. */
async function closedLoop({
  port,
  request,
  clients: count,
  seconds,
}: {
  port: number;
  request: string;
  clients: number;
  seconds: number;
}): Promise<number> {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
  const end = performance.now() + 1000 * seconds;
  let done = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < end) {
        await client.send(request);
        done++;
      }
    }),
  );
  for (const client of clients) client.close();
  return done / seconds;
}

const percentile = (sorted: Float64Array, p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))]!;

async function ask<Answer>(child: ChildProcess, message: string): Promise<Answer> {
  child.send(message);
  const [answer] = (await once(child, "message")) as [Answer];
  return answer;
}

/** The hub's HTTP API over loopback: server and load generator are two processes, which share the machine's cores. */
export async function hubHttp(): Promise<BenchResult[]> {
  const child = fork(fileURLToPath(new URL("./hub-http-server.ts", import.meta.url)), {
    execArgv: ["--conditions=@seg/source", "--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const [{ url, token }] = (await once(child, "message")) as [{ url: string; token: string }];
  const port = Number(new URL(url).port);
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  const active = get("/model/active");
  // What a dashboard and a service in production ask.
  const mixed = [active, get("/model/versions?limit=20"), active, get("/model/history?limit=20"), active];
  const results: BenchResult[] = [];
  try {
    await openLoop({ port, requests: mixed, clients: 50, rate: RATE / 2, seconds: WARM_UP_SECONDS });
    for (const [name, requests, clients, p, target] of [
      ["1,000 reads/s, 50 clients", mixed, 50, 0.99, 50],
      ["200 clients, 1,000 reads/s", [active], CLIENTS, 0.95, 10],
    ] as const) {
      const before = await ask<{ cpu: NodeJS.CpuUsage }>(child, "usage");
      const own = process.cpuUsage();
      const { latencies, failures, achieved } = await openLoop({
        port,
        requests,
        clients,
        rate: RATE,
        seconds: SECONDS,
      });
      const after = await ask<{ cpu: NodeJS.CpuUsage; rss: number }>(child, "usage");
      const spent = process.cpuUsage(own);
      const serverMs = (after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system) / 1000;
      const value = percentile(latencies, p);
      results.push({
        bench: "hub-http",
        case: `${name}, p${100 * p}`,
        value,
        unit: "ms",
        note: `target ${target} ms; p50 ${percentile(latencies, 0.5).toFixed(1)}, max ${latencies.at(-1)!.toFixed(0)} ms; ${achieved.toFixed(0)} answers/s, ${failures} failed; server ${(serverMs / (RATE * SECONDS)).toFixed(2)} CPU-ms a request, ${(after.rss / 1e6).toFixed(0)} MB; generator ${((spent.user + spent.system) / 1e4 / SECONDS).toFixed(0)} % of a core; load ${loadavg()[0]!.toFixed(1)}`,
      });
    }
    const most = await closedLoop({ port, request: active, clients: CLIENTS, seconds: 5 });
    results.push({
      bench: "hub-http",
      case: "200 clients without a pause",
      value: most,
      unit: "answers/s",
      note: `one server process; load ${loadavg()[0]!.toFixed(1)}`,
    });
  } finally {
    child.send("stop");
    await once(child, "exit");
  }
  return results;
}
