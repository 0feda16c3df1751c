import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HubClient, HubHttpError, type WatchedEvent } from "../src/client/index.js";
import type { JobLease, JobProgress } from "../src/jobs/types.js";
import { serve } from "../src/server/serve.js";
import { findOnPath } from "../src/sql/start-postgres.js";
import { temporaryDirectory } from "./databases.js";
import { cocoDocument } from "./datasets.js";
import { openApp, type TestHub } from "./open-app.js";

const curl = await findOnPath("curl");
const run = promisify(execFile);

describe("jobs over HTTP", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let server: Awaited<ReturnType<typeof serve>>;
  let client: HubClient;
  beforeEach(async () => {
    hub = await openApp({ root: directory.path, deps: { heartbeatMs: 50, limits: { maxWaitS: 60 } } });
    server = await serve(hub.app, { port: 0 });
    client = new HubClient({ baseUrl: server.url, token: hub.admin });
  });
  afterEach(async () => {
    await server.close({ graceMs: 0 });
    await hub.close();
    expect(hub.faults).toEqual([]);
  });
  const storeData = () => client.uploadDataset(new Blob([cocoDocument(12)]), { fileName: "bags.json" });
  const json = async (response: Response) => (await response.json()) as Record<string, unknown>;
  /** A job of a kind that no worker takes: the test is its worker. */
  async function ownJob(): Promise<{ id: string; lease: JobLease }> {
    await hub.jobs.enqueue({ kind: "gc" });
    const lease = (await hub.jobs.claim({ owner: "test", kinds: ["gc"] }))!;
    return { id: lease.job.id, lease };
  }
  const progress = (percent: number): JobProgress => ({
    phase: "training",
    epoch: 1,
    epochs: 1,
    step: percent,
    steps: 100,
    percent,
    metrics: {},
    eta_s: null,
  });
  const collect = async (events: AsyncIterable<WatchedEvent>) => {
    const list: WatchedEvent[] = [];
    for await (const event of events) list.push(event);
    return list;
  };

  describe("retraining", () => {
    test("holds the answer until the new version is there", async () => {
      await storeData();
      const answer = await json(
        await hub.call("POST", "/model/retrain", {
          json: { use_database: true, epochs: 3, batch_size: 4, learning_rate: 0.001, hidden_size: 64 },
        }),
      );
      expect(answer).toMatchObject({
        success: true,
        message: expect.stringContaining("is registered"),
        version: expect.stringMatching(/^v\d{8}_\d{6}$/),
        metrics: {
          accuracy: expect.any(Number),
          f1_score: expect.any(Number),
          precision: expect.any(Number),
          recall: expect.any(Number),
          loss: expect.any(Number),
        },
        training_time: expect.any(Number),
        comparison: null,
        suggest_activation: true,
        job_id: expect.any(String),
      });
      expect((await hub.registry.list()).total).toBe(1);
    });

    test("answers 202 at once with Prefer: respond-async, and after the wait otherwise", async () => {
      await storeData();
      for (const prefer of ["respond-async", "wait=0"]) {
        const response = await hub.call("POST", "/model/retrain", {
          json: { epochs: 2, params: { pause_at_epoch: 2 } },
          headers: { prefer },
        });
        const { job_id, status_url, events_url } = await json(response);
        expect([response.status, response.headers.get("location")]).toEqual([202, status_url]);
        expect([status_url, events_url]).toEqual([`/jobs/${job_id}`, `/jobs/${job_id}/events`]);
        await client.cancelJob(String(job_id));
      }
    });

    test("a dry run starts nothing", async () => {
      await storeData();
      const response = await hub.call("POST", "/model/retrain?dry_run=true", { json: { epochs: 7 } });
      expect(await json(response)).toMatchObject({
        config: { epochs: 7, batch_size: 4, sources: { epochs: "request", batch_size: "trainer" }, records: 12 },
        estimate: { steps: 21, seconds: null },
      });
      expect((await client.listJobs()).total).toBe(0);
    });

    test.each([
      [{ use_database: false }, 400, "INVALID_REQUEST"],
      [{ use_database: false, dataset_name: "none" }, 404, "NOT_FOUND"],
      [{ epochs: 0 }, 400, "INVALID_REQUEST"],
      [{ epochs: 10_001 }, 400, "INVALID_REQUEST"],
      [{ batch_size: 1025 }, 400, "INVALID_REQUEST"],
      [{ learning_rate: 0 }, 400, "INVALID_REQUEST"],
      [{ learning_rate: 1.01 }, 400, "INVALID_REQUEST"],
      [{ hidden_size: 4097 }, 400, "INVALID_REQUEST"],
      [{ trainer: "none" }, 400, "INVALID_REQUEST"],
      [{ epoch: 3 }, 400, "INVALID_REQUEST"],
      [{ params: { unknown: 1 } }, 400, "INVALID_REQUEST"],
      [{}, 422, "DATASET_TOO_SMALL"],
    ])("refuses %j", async (body, status, code) => {
      const response = await hub.call("POST", "/model/retrain", { json: body });
      expect([response.status, (await json(response))["code"]]).toEqual([status, code]);
      expect((await client.listJobs()).total).toBe(0);
    });

    test("a failed run has the trainer's code and registers nothing", async () => {
      await storeData();
      const response = await hub.call("POST", "/model/retrain", { json: { params: { fail_at_epoch: 2 } } });
      expect([response.status, (await json(response))["code"]]).toEqual([422, "NO_ANNOTATIONS"]);
      expect((await hub.registry.list()).total).toBe(0);
    });

    test("a client that goes away cancels nothing", async () => {
      await storeData();
      const socket = connect(server.port, "127.0.0.1");
      const body = JSON.stringify({ epochs: 4, params: { step_ms: 30 } });
      socket.write(
        `POST /model/retrain HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer ${hub.admin}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      let id = "";
      await expect
        .poll(async () => {
          id = (await client.listJobs()).jobs[0]?.id ?? "";
          return id;
        })
        .not.toBe("");
      socket.destroy();
      await collect(client.watchJob(id));
      expect((await client.getJob(id)).state).toBe("succeeded");
      expect((await hub.registry.list()).total).toBe(1);
    });

    test("cancels at a checkpoint and resumes the same run", async () => {
      await storeData();
      const { job_id } = await client.startRetrain({ epochs: 3, params: { pause_at_epoch: 2 } });
      for await (const { type, data } of client.watchJob(job_id)) {
        if (type === "progress" && data["epoch"] === 1 && data["step"] === null) await client.cancelJob(job_id);
      }
      const cancelled = await client.getJob(job_id);
      expect(cancelled.state).toBe("cancelled");
      await expect(client.cancelJob(job_id)).rejects.toMatchObject({ code: "INVALID_STATE", status: 409 });
      const resumed = await client.resumeJob(job_id);
      expect(resumed.run_id).toBe(cancelled.run_id);
      await collect(client.watchJob(job_id));
      expect((await client.getJob(job_id)).state).toBe("succeeded");
      expect((await hub.registry.list()).total).toBe(1);
      expect(hub.audit.map(({ action, target }) => [action, target])).toEqual(
        expect.arrayContaining([
          ["cancelJob", job_id],
          ["resumeJob", job_id],
        ]),
      );
    });

    test("the client's retrain waits over events and returns the version", async () => {
      await storeData();
      const seen: string[] = [];
      const { version } = await client.retrain({ epochs: 2 }, { onEvent: ({ type }) => seen.push(type) });
      expect((await client.getVersion(version)).state).toBe("ready");
      expect(seen.at(-1)).toBe("done");
      await expect(client.retrain({ params: { fail_at_epoch: 1 } })).rejects.toMatchObject({ code: "NO_ANNOTATIONS" });
    });
  });

  describe("event streams", () => {
    const raw = async (id: string, headers: Record<string, string> = {}) =>
      fetch(`${server.url}/jobs/${id}/events`, { headers: { authorization: `Bearer ${hub.admin}`, ...headers } });

    test("have id, event and JSON data, heartbeats, and end after the terminal event", async () => {
      const { id, lease } = await ownJob();
      await hub.jobs.update(lease, { progress: progress(10) });
      const response = await raw(id);
      expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      setTimeout(() => void hub.jobs.finish(lease, { state: "succeeded", result: { removed: 3 } }), 200);
      const text = await response.text();
      expect(text).toMatch(/id: \d+\nevent: progress\ndata: \{.*"percent":10/);
      expect(text).toContain(": alive");
      expect(text.trimEnd().split("\n\n").at(-1)).toMatch(/^id: \d+\nevent: done\ndata: \{.*"removed":3/);
    });

    test("Last-Event-ID replays what followed, and only that", async () => {
      const { id, lease } = await ownJob();
      for (let i = 1; i <= 20; i++) await hub.jobs.emit(lease, { type: "log", data: { message: `line ${i}` } });
      await hub.jobs.finish(lease, { state: "failed", error: { code: "INTERNAL", message: "no" } });
      const all = await (await raw(id)).text();
      const ids = [...all.matchAll(/^id: (\d+)$/gm)].map(([, n]) => Number(n));
      expect(ids).toEqual([...ids].sort((a, b) => a - b));
      const middle = ids[9]!;
      const rest = await (await raw(id, { "last-event-id": String(middle) })).text();
      expect([...rest.matchAll(/^id: (\d+)$/gm)].map(([, n]) => Number(n))).toEqual(ids.slice(10));
      const none = await (await raw(id, { "last-event-id": String(ids.at(-1)) })).text();
      expect(none).not.toContain("id:");
    });

    test("an unknown job is a 404, no stream", async () => {
      expect((await raw("nothing")).status).toBe(404);
      await expect(collect(client.watchJob("nothing"))).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    test("a watcher whose connection breaks goes on without a gap or a repetition", async () => {
      const { id, lease } = await ownJob();
      let connections = 0;
      const breaking = new HubClient({
        baseUrl: server.url,
        token: hub.admin,
        sleep: async () => {},
        fetch: async (input, init) => {
          const response = await fetch(input, init);
          if (!String(input).endsWith("/events") || response.body === null) return response;
          connections++;
          // Cuts the stream in the middle of an event, each time after 300 bytes.
          let left = 300;
          const cut = new TransformStream<Uint8Array, Uint8Array>({
            transform(chunk, controller) {
              controller.enqueue(chunk.subarray(0, left));
              left -= chunk.length;
              if (left <= 0) controller.error(new TypeError("terminated"));
            },
          });
          return new Response(response.body.pipeThrough(cut), { status: response.status, headers: response.headers });
        },
      });
      const watched = collect(breaking.watchJob(id));
      for (let i = 1; i <= 60; i++) await hub.jobs.emit(lease, { type: "log", data: { n: i } });
      await hub.jobs.finish(lease, { state: "succeeded", result: {} });
      const logs = (await watched).filter(({ type }) => type === "log").map(({ data }) => data["n"]);
      expect(logs).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      expect(connections).toBeGreaterThan(2);
    });

    test("200 listeners miss no event, whenever they came", async () => {
      const { id, lease } = await ownJob();
      const total = 100;
      const listeners: Promise<WatchedEvent[]>[] = [];
      const users = new HubClient({ baseUrl: server.url, token: hub.user });
      for (let i = 1; i <= total; i++) {
        for (let k = 0; k < 2; k++) listeners.push(collect(users.watchJob(id)));
        await hub.jobs.emit(lease, { type: "log", data: { n: i } });
      }
      await hub.jobs.finish(lease, { state: "succeeded", result: {} });
      const expected = Array.from({ length: total }, (_, i) => i + 1);
      for (const events of await Promise.all(listeners)) {
        expect(events.filter(({ type }) => type === "log").map(({ data }) => data["n"])).toEqual(expected);
        expect(events.at(-1)?.type).toBe("done");
      }
    });

    test("going away only unsubscribes", async () => {
      const { id, lease } = await ownJob();
      const stop = new AbortController();
      const watched = collect(client.watchJob(id, { signal: stop.signal }));
      await hub.jobs.update(lease, { progress: progress(50) });
      stop.abort();
      await watched;
      expect((await client.getJob(id)).state).toBe("running");
      await hub.jobs.finish(lease, { state: "succeeded", result: {} });
    });
  });

  describe.skipIf(curl === null)("the calls of the design, by curl", () => {
    const call = async (...words: string[]) => {
      const { stdout } = await run(curl!, ["-sS", "-w", "\n%{http_code}", ...words]);
      const at = stdout.lastIndexOf("\n");
      return { status: Number(stdout.slice(at + 1)), body: JSON.parse(stdout.slice(0, at)) as Record<string, unknown> };
    };
    const bearer = () => ["-H", `Authorization: Bearer ${hub.admin}`];

    test("upload, retrain, versions, activate, active, delete", async () => {
      const file = join(mkdtempSync(join(directory.path, "curl-")), "dataset.json");
      writeFileSync(file, cocoDocument(12));
      const uploaded = await call(
        "-X",
        "POST",
        `${server.url}/model/upload-dataset`,
        ...bearer(),
        "-F",
        `file=@${file}`,
      );
      expect(uploaded).toMatchObject({ status: 201, body: { dataset_name: "dataset", records: 12 } });
      const train = (body: string) =>
        call(
          "-X",
          "POST",
          `${server.url}/model/retrain`,
          ...bearer(),
          "-H",
          "Content-Type: application/json",
          "-d",
          body,
        );
      const first = await train(
        '{"use_database": true, "dataset_name": null, "epochs": 2, "batch_size": 32, "learning_rate": 0.001, "hidden_size": 64}',
      );
      expect(first).toMatchObject({ status: 200, body: { success: true } });
      const second = await train('{"use_database": false, "dataset_name": "dataset", "epochs": 3}');
      expect(second).toMatchObject({ status: 200, body: { success: true } });
      const versions = await call(`${server.url}/model/versions`, ...bearer());
      expect(versions.body["versions"]).toHaveLength(2);
      const [a, b] = [first.body["version"], second.body["version"]];
      const activated = await call(
        ...["-X", "POST", `${server.url}/model/activate`, ...bearer(), "-H", "Content-Type: application/json"],
        ...["-d", JSON.stringify({ version: a })],
      );
      expect(activated).toMatchObject({ status: 200, body: { version: a, is_active: true } });
      expect(await call(`${server.url}/model/active`, ...bearer())).toMatchObject({
        status: 200,
        body: { version: a },
      });
      expect(await call("-X", "DELETE", `${server.url}/model/version/${a}`, ...bearer())).toMatchObject({
        status: 409,
        body: { code: "VERSION_ACTIVE" },
      });
      expect(await call("-X", "DELETE", `${server.url}/model/version/${b}`, ...bearer())).toMatchObject({
        status: 200,
        body: { success: true },
      });
    });
  });

  test("a refused call is one typed error with the server's code, request id and faults", async () => {
    const error = await client.activate("no such version!").catch((e: unknown) => e);
    expect(HubHttpError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: "INVALID_REQUEST", status: 400, requestId: expect.any(String) });
    expect((error as HubHttpError).errors).toEqual([
      { path: "body.version", message: expect.stringContaining("version") },
    ]);
    expect(await client.getActive()).toBeNull();
    const proxy = new HubClient({
      token: null,
      fetch: async () => new Response("<h1>Bad gateway</h1>", { status: 502 }),
    });
    await expect(proxy.listVersions()).rejects.toMatchObject({ code: "INTERNAL", status: 502 });
  });
});
