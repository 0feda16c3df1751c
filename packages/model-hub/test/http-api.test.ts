import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HubError } from "../src/errors.js";
import { temporaryDirectory } from "./databases.js";
import { cocoDocument } from "./datasets.js";
import { openApp, type TestHub } from "./open-app.js";

type Body = Record<string, unknown> & { code?: string };

describe("HTTP API", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  beforeEach(async () => {
    hub = await openApp({ root: directory.path, deps: { limits: { maxUploadBytes: 100_000, maxBodyBytes: 10_000 } } });
  });
  afterEach(async () => {
    await hub.close();
    expect(hub.faults).toEqual([]);
  });
  const json = async (response: Response) => (await response.json()) as Body;
  const register = async (count = 1) => {
    const names: string[] = [];
    for (let i = 0; i < count; i++) {
      const { version } = await hub.registry.register({
        files: [{ path: "model.onnx", content: Buffer.from(`w${i}`) }],
        metrics: { accuracy: 0.5 + i / 10, f1_score: 0.5, loss: 1 - i / 10, training_samples: 10, training_time: 1.5 },
        dataset: { id: "bags" },
      });
      names.push(version);
    }
    return names;
  };
  const rows = (count: number) => Array.from({ length: count }, (_, i) => `i${i}.jpg,bag,1,2,30,40`);
  const csv = (count: number) => ["file_name,class,x,y,width,height", ...rows(count), ""].join("\n");
  const form = (
    content: string | Uint8Array,
    name: string,
    fields: Record<string, string> = {},
    isFileFirst = false,
  ) => {
    const data = new FormData();
    const file = new Blob([content as BlobPart]);
    if (isFileFirst) data.append("file", file, name);
    for (const [key, value] of Object.entries(fields)) data.append(key, value);
    if (!isFileFirst) data.append("file", file, name);
    return data;
  };
  const upload = (data: FormData, query = "") => hub.call("POST", `/model/upload-dataset${query}`, { body: data });
  const uploadsLeft = () => (existsSync(join(hub.root, "uploads")) ? readdirSync(join(hub.root, "uploads")) : []);
  type BlobPart = string | Uint8Array<ArrayBuffer>;

  describe("versions", () => {
    test("lists newest first with the fields of the design, and pages", async () => {
      const names = await register(3);
      const page = await json(await hub.call("GET", "/model/versions?limit=2"));
      expect(page).toMatchObject({ total: 3, versions: [{ version: names[2] }, { version: names[1] }] });
      expect(Object.keys((page["versions"] as object[])[0]!)).toEqual(
        expect.arrayContaining([
          "version",
          "created_at",
          "is_active",
          "metrics",
          "training_samples",
          "training_time",
          "dataset",
          "description",
          "size_bytes",
        ]),
      );
      const rest = await json(
        await hub.call("GET", `/model/versions?limit=2&cursor=${encodeURIComponent(String(page["next_cursor"]))}`),
      );
      expect(rest).toMatchObject({ versions: [{ version: names[0] }], next_cursor: null });
      expect((await hub.call("GET", "/model/versions?limit=0")).status).toBe(400);
      expect((await hub.call("GET", "/model/versions?limit=2&limit=3")).status).toBe(400);
      expect((await hub.call("GET", "/model/versions?lmit=2")).status).toBe(400);
    });

    test("activates, says when nothing changed, rolls back, deactivates", async () => {
      const [a, b] = (await register(2)) as [string, string];
      expect(await json(await hub.call("GET", "/model/active"))).toMatchObject({
        code: "NO_ACTIVE_VERSION",
        status: 404,
      });
      const activate = (version: string) => hub.call("POST", "/model/activate", { json: { version, reason: "test" } });
      expect(await json(await activate(a))).toMatchObject({ version: a, changed: true, activated_by: "ana" });
      expect(await json(await activate(a))).toMatchObject({ version: a, changed: false });
      await activate(b);
      expect(await json(await hub.call("GET", "/model/active", { token: hub.user }))).toMatchObject({ version: b });
      expect(await json(await hub.call("POST", "/model/rollback"))).toMatchObject({ version: a });
      const none = await hub.call("POST", "/model/rollback");
      expect([none.status, (await json(none)).code]).toEqual([409, "NO_PREVIOUS_VERSION"]);
      expect(await json(await hub.call("POST", "/model/rollback", { json: { to: b } }))).toMatchObject({ version: b });
      expect(await json(await hub.call("POST", "/model/deactivate", { json: { reason: "recall" } }))).toMatchObject({
        kind: "deactivate",
        previous: b,
        reason: "recall",
      });
      expect((await hub.call("POST", "/model/deactivate")).status).toBe(404);
      const { history } = (await json(await hub.call("GET", "/model/history"))) as { history: { kind: string }[] };
      expect(history.map(({ kind }) => kind)).toEqual(["deactivate", "activate", "rollback", "activate", "activate"]);
    });

    test("never deletes the active version, deletes others once", async () => {
      const [a, b] = (await register(2)) as [string, string];
      await hub.registry.activate(a);
      for (const query of ["", "?force=true"]) {
        const refused = await hub.call("DELETE", `/model/version/${a}${query}`);
        expect([refused.status, (await json(refused)).code]).toEqual([409, "VERSION_ACTIVE"]);
      }
      expect(await json(await hub.call("DELETE", `/model/version/${b}`))).toEqual({
        success: true,
        message: `Version ${b} was deleted.`,
      });
      expect((await hub.call("DELETE", `/model/version/${b}`)).status).toBe(404);
    });

    test("changes description, tags and aliases under If-Match only", async () => {
      const [a, b] = (await register(2)) as [string, string];
      const shown = await hub.call("GET", `/model/version/${a}`);
      const etag = shown.headers.get("etag")!;
      const patch = (headers: Record<string, string>, body: unknown, version = a) =>
        hub.call("PATCH", `/model/version/${version}`, { json: body, headers });
      expect((await patch({}, { description: "x" })).status).toBe(400);
      expect((await patch({ "if-match": etag }, { metrics: {} })).status).toBe(400);
      const changed = await patch({ "if-match": etag }, { description: "x", tags: ["night"], aliases: ["golden"] });
      expect(await json(changed)).toMatchObject({ description: "x", tags: ["night"], aliases: ["golden"] });
      expect(await json(await patch({ "if-match": etag }, { description: "y" }))).toMatchObject({
        status: 412,
        code: "STALE",
      });
      const other = (await hub.call("GET", `/model/version/${b}`)).headers.get("etag")!;
      expect(await json(await patch({ "if-match": other }, { aliases: ["golden"] }, b))).toMatchObject({
        code: "CONFLICT",
      });
      expect(await json(await hub.call("GET", "/model/version/golden"))).toMatchObject({ version: a });
    });

    test("compares two versions", async () => {
      const [a, b] = (await register(2)) as [string, string];
      expect(await json(await hub.call("GET", `/model/compare?a=${a}&b=${b}`))).toMatchObject({
        a,
        b,
        metrics: { accuracy: { better: "b" }, loss: { better: "b" }, f1_score: { better: "tie" } },
      });
      expect((await hub.call("GET", `/model/compare?a=${a}`)).status).toBe(400);
      expect((await hub.call("GET", `/model/compare?a=${a}&b=v20200101_000000`)).status).toBe(404);
    });

    test("keeps models apart by ?model=", async () => {
      await register(1);
      await hub.registry.register({ model: "other", files: [{ path: "m.onnx", content: Buffer.from("x") }] });
      expect(await json(await hub.call("GET", "/model/versions?model=other"))).toMatchObject({ total: 1 });
      expect(await json(await hub.call("GET", "/models"))).toMatchObject({
        models: expect.arrayContaining([{ model: "other", versions: 1, active: null }]),
      });
    });
  });

  describe("uploads", () => {
    test("stores a CSV, the same again is 200, other bytes are a conflict", async () => {
      const first = await upload(form(csv(12), "bags.csv"));
      expect(first.status).toBe(201);
      expect(await json(first)).toMatchObject({ dataset_name: "bags", records: 12, warnings: [], existing: false });
      const again = await upload(form(csv(12), "bags.csv"));
      expect([again.status, (await json(again))["existing"]]).toEqual([200, true]);
      const other = await upload(form(csv(13), "bags.csv"));
      expect([other.status, (await json(other)).code]).toEqual([409, "CONFLICT"]);
      expect(await json(await hub.call("GET", "/model/datasets"))).toMatchObject({
        total_records: 12,
        min_records: 10,
        datasets: [{ name: "bags", records: 12 }],
      });
      expect((await hub.call("GET", "/model/dataset/bags")).status).toBe(200);
      expect((await hub.call("DELETE", "/model/dataset/bags")).status).toBe(200);
      expect((await hub.call("GET", "/model/dataset/bags")).status).toBe(404);
      expect(uploadsLeft()).toEqual([]);
    });

    test("takes a name and a schema before or after the file", async () => {
      for (const [i, isFileFirst] of [false, true].entries()) {
        const table = `HbA1c,AGE,BMI,Gender,CLASS\n5.${i},40,22,M,N\n`;
        const response = await upload(form(table, "x.csv", { dataset_name: `d${i}`, schema: "diabetes" }, isFileFirst));
        expect([response.status, (await json(response))["dataset_name"]]).toEqual([201, `d${i}`]);
      }
    });

    test("stores COCO; validate_only stores nothing", async () => {
      const checked = await upload(form(cocoDocument(11), "c.json"), "?validate_only=true");
      expect([checked.status, (await json(checked))["stored"]]).toEqual([200, false]);
      expect((await hub.datasets.list()).datasets).toEqual([]);
      expect((await upload(form(cocoDocument(11), "c.json"))).status).toBe(201);
    });

    test("names missing columns and bad lines, and stores nothing", async () => {
      const missing = await json(await upload(form("file_name,class\na,b\n", "a.csv")));
      expect(missing).toMatchObject({ status: 422, code: "SCHEMA" });
      expect(JSON.stringify(missing)).toContain("width");
      const bad = await json(await upload(form(`${csv(3)}x.jpg,bag,one,2,3,4\n`, "b.csv")));
      expect(bad).toMatchObject({ status: 422, code: "SCHEMA" });
      expect(JSON.stringify(bad["errors"])).toContain("5");
      expect((await hub.datasets.list()).datasets).toEqual([]);
      expect(uploadsLeft()).toEqual([]);
    });

    test.each([
      ["another extension", () => form("x", "a.exe"), 415],
      ["content that is not what the name says", () => form("not a zip", "a.zip"), 415],
      ["a path as a name", () => form(csv(10), "a.csv", { dataset_name: "../../etc/cron.d/x" }), 400],
      ["dots as a name", () => form(csv(10), "a.csv", { dataset_name: ".." }), 400],
      ["an unknown field", () => form(csv(10), "a.csv", { nmae: "x" }), 400],
      ["an unknown schema", () => form(csv(10), "a.csv", { schema: "none" }), 400],
      [
        "a wrong part name",
        () => {
          const data = new FormData();
          data.append("data", new Blob(["x"]), "a.csv");
          return data;
        },
        400,
      ],
      [
        "no file",
        () => {
          const data = new FormData();
          data.append("dataset_name", "x");
          return data;
        },
        400,
      ],
      [
        "two files",
        () => {
          const data = form(csv(10), "a.csv");
          data.append("file", new Blob([csv(11)]), "b.csv");
          return data;
        },
        400,
      ],
    ])("refuses %s", async (_, make, status) => {
      const response = await upload(make());
      expect(response.status).toBe(status);
      expect((await hub.datasets.list()).datasets).toEqual([]);
      expect(uploadsLeft()).toEqual([]);
    });

    test("keeps only the last part of a client's file name", async () => {
      const response = await upload(form(csv(10), "../../../tmp/evil.csv"));
      expect(await json(response)).toMatchObject({ dataset_name: "evil" });
      expect(existsSync(join(hub.root, "..", "..", "..", "tmp", "evil.csv"))).toBe(false);
    });

    test("counts bytes, whatever the header says", async () => {
      const large = await upload(form("x".repeat(100_001), "a.csv"));
      expect([large.status, (await json(large)).code]).toEqual([413, "TOO_LARGE"]);
      // A body without an end: refused when the limit is passed, not when it ends.
      let sent = 0;
      const endless = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (sent === 0)
            controller.enqueue(
              Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'),
            );
          else controller.enqueue(Buffer.alloc(50_000, 97));
          sent++;
        },
      });
      const response = await hub.call("POST", "/model/upload-dataset", {
        body: endless,
        headers: { "content-type": "multipart/form-data; boundary=b", "content-length": "10" },
      });
      expect(response.status).toBe(413);
      expect(sent).toBeLessThan(60);
      expect(uploadsLeft()).toEqual([]);
    });

    test("refuses damaged multipart bodies", async () => {
      for (const [type, body] of [
        ["multipart/form-data", "x"],
        ["multipart/form-data; boundary=b", "no boundary"],
        [
          "multipart/form-data; boundary=b",
          '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ncut off',
        ],
        ["text/csv", csv(10)],
      ] as const) {
        const response = await hub.call("POST", "/model/upload-dataset", { body, headers: { "content-type": type } });
        expect([400, 415]).toContain(response.status);
      }
      expect(uploadsLeft()).toEqual([]);
    });
  });

  describe("safe errors", () => {
    test("an unforeseen fault is INTERNAL: no message, stack or path, and the operator's hook gets all of it", async () => {
      const failing = new Error(`ENOENT: open '${hub.root}/registry.sqlite' password=hunter2`);
      hub.registry.list = async () => {
        throw failing;
      };
      const response = await hub.call("GET", "/model/versions");
      const body = await json(response);
      expect(response.status).toBe(500);
      expect(body).toMatchObject({ code: "INTERNAL", request_id: response.headers.get("x-request-id") });
      expect(JSON.stringify(body)).not.toMatch(/hunter2|registry\.sqlite|ENOENT|at /);
      expect(hub.faults.splice(0)).toMatchObject([{ error: failing, path: "/model/versions" }]);
    });

    test("paths and secrets are blanked in known 5xx", async () => {
      hub.registry.list = async () => {
        throw new HubError({
          code: "SOURCE_UNAVAILABLE",
          message: "Reading /srv/hub/objects/ab failed for https://u:p@example.org/x?token=abcd with Bearer abcdef",
          details: { path: "/srv/hub/objects/ab", host: "example.org" },
        });
      };
      const body = await json(await hub.call("GET", "/model/versions"));
      expect(body).toMatchObject({
        status: 502,
        code: "SOURCE_UNAVAILABLE",
        details: { path: "(path)", host: "example.org" },
      });
      expect(JSON.stringify(body)).not.toMatch(/srv|abcd|u:p/);
      hub.faults.splice(0);
    });

    test("every answer is closed to sniffing, framing and caches", async () => {
      for (const [method, path] of [
        ["GET", "/model/versions"],
        ["POST", "/nothing"],
        ["GET", "/dashboard"],
      ] as const) {
        const { headers } = await hub.call(method, path);
        expect(headers.get("x-content-type-options")).toBe("nosniff");
        expect(headers.get("x-frame-options")).toBe("DENY");
        expect(headers.get("cache-control")).toBe("no-store");
        expect(headers.get("access-control-allow-origin")).toBeNull();
      }
    });

    test("pages run their own script only", async () => {
      const policy = (await hub.call("GET", "/dashboard")).headers.get("content-security-policy")!;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toMatch(/script-src 'sha256-[\w+/=]+'(;|$)/);
      expect(policy).not.toContain("unsafe");
      expect((await hub.call("GET", "/docs")).headers.get("content-security-policy")).toContain("script-src 'none'");
    });
  });

  describe("hostile requests", () => {
    const bodies = () => hub.app.routes.filter(({ body }) => body !== undefined);

    test("no JSON body gives 5xx", async () => {
      for (const { method, path } of bodies()) {
        const url = path.replaceAll(/\{\w+\}/g, "x");
        await fc.assert(
          fc.asyncProperty(
            fc.oneof(
              fc.json(),
              fc.string(),
              fc.constantFrom(
                '{"__proto__":{"a":1}}',
                "[[[[",
                '{"version":"\\ud800"}',
                "\ufeff{}",
                "1e999",
                '{"epochs":1e308}',
              ),
              fc
                .record(
                  {
                    version: fc.anything(),
                    epochs: fc.anything(),
                    use_database: fc.boolean(),
                    dataset_name: fc.string(),
                    params: fc.jsonValue(),
                    name: fc.string(),
                    role: fc.constantFrom("user", "x"),
                    expires_at: fc.string(),
                  },
                  { requiredKeys: [] },
                )
                .map(
                  (value) => JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v)) ?? "",
                ),
            ),
            async (body) => {
              const response = await hub.call(method.toUpperCase(), url, {
                body,
                headers: { "content-type": "application/json", prefer: "respond-async" },
              });
              expect(response.status, body).toBeLessThan(500);
            },
          ),
          { numRuns: 60 },
        );
      }
      expect(hub.faults).toEqual([]);
    });

    test("no query, path or header gives 5xx", async () => {
      const routes = hub.app.routes.filter(({ method }) => method === "get" || method === "delete");
      await fc.assert(
        fc.asyncProperty(
          fc.nat(routes.length - 1),
          fc.string({ unit: "grapheme", maxLength: 40 }),
          fc.dictionary(fc.constantFrom("model", "limit", "cursor", "a", "b", "state", "kind", "force"), fc.string()),
          async (i, part, query) => {
            const { method, path } = routes[i]!;
            const safe = encodeURIComponent(part) || "x";
            const url = `${path.replaceAll(/\{\w+\}/g, safe)}?${new URLSearchParams(query)}`;
            const response = await hub.call(method.toUpperCase(), url);
            await response.body?.cancel();
            expect(response.status, url).toBeLessThan(500);
          },
        ),
        { numRuns: 300 },
      );
      for (const id of ["-1", "1.5", "x", "9".repeat(30)]) {
        const { status } = await hub.call("GET", "/jobs/none/events", { headers: { "last-event-id": id } });
        expect([400, 404]).toContain(status);
      }
    });

    test("paths do not leave their place", async () => {
      for (const name of ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..%5c..", "a%00b", "%2fetc%2fpasswd"]) {
        for (const path of ["/model/version/", "/model/dataset/", "/jobs/"]) {
          const { status } = await hub.call("GET", path + name);
          expect([400, 404]).toContain(status);
        }
        const { status } = await hub.call("DELETE", `/model/dataset/${name}`);
        expect([400, 404]).toContain(status);
      }
    });

    test("large, mistyped and damaged bodies are refused before they are parsed", async () => {
      const post = (body: string | Uint8Array, type = "application/json") =>
        hub.call("POST", "/model/activate", { body, headers: { "content-type": type } });
      expect((await post(`{"version":"${"v".repeat(20_000)}"}`)).status).toBe(413);
      expect((await post('{"version":"v20250101_000000"}', "text/plain")).status).toBe(415);
      expect((await post(Buffer.from([0xff, 0xfe, 0x7b]))).status).toBe(400);
      expect((await post("{")).status).toBe(400);
      expect((await post("")).status).toBe(400);
      const body = await json(await post('{"version":"v20250101_000000","force":true}'));
      expect(body).toMatchObject({ code: "INVALID_REQUEST", errors: [{ path: "body" }] });
    });
  });
});
