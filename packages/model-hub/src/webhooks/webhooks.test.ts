import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import { manualClock } from "../../test/open-registry.js";
import { integer, type SqlDriver } from "../sql/driver.js";
import { assertCallableUrl, isPrivateAddress } from "./callable-url.js";
import { HubEvents, wantsEvent } from "./hub-events.js";
import { MAX_ATTEMPTS, signWebhook, WebhookDispatcher } from "./webhook-dispatcher.js";
import { WebhookStore } from "./webhook-store.js";

const START = Date.UTC(2026, 0, 1);

test("signWebhook is HMAC-SHA256 over timestamp.body", () => {
  // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
  const expected = createHmac("sha256", "secret").update('1700000000.{"a":1}').digest("hex");
  expect(signWebhook("secret", "1700000000", '{"a":1}')).toBe(expected);
  expect(signWebhook("secret", "1700000001", '{"a":1}')).not.toBe(expected);
});

test("wantsEvent knows all, families and single types", () => {
  expect(wantsEvent(["*"], "job.failed")).toBe(true);
  expect(wantsEvent(["job.*"], "job.failed")).toBe(true);
  expect(wantsEvent(["job.*"], "version.activated")).toBe(false);
  expect(wantsEvent(["version.activated"], "version.activated")).toBe(true);
  expect(wantsEvent(["version.activated"], "version.deleted")).toBe(false);
});

describe("assertCallableUrl", () => {
  test.each([
    "127.0.0.1",
    "10.1.2.3",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
  ])("%s is private", (address) => expect(isPrivateAddress(address)).toBe(true));
  test.each(["8.8.8.8", "172.32.0.1", "192.167.255.255", "2606:4700::1111"])("%s is public", (address) =>
    expect(isPrivateAddress(address)).toBe(false),
  );
  test("looks at every address that the name has", async () => {
    await expect(assertCallableUrl("https://a.example/x", async () => ["8.8.8.8", "127.0.0.1"])).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    expect(await assertCallableUrl("https://a.example/x", async () => ["8.8.8.8"])).toEqual(["8.8.8.8"]);
    await expect(assertCallableUrl("http://[::1]:9/")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(assertCallableUrl("http://a.invalid/", async () => [])).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });
});

describeDatabases("webhooks", (database) => {
  let sql: SqlDriver;
  let clock: ReturnType<typeof manualClock>;
  let events: HubEvents;
  let store: WebhookStore;
  beforeEach(async () => {
    sql = await database.open();
    clock = manualClock(START);
    events = new HubEvents({ now: clock.now });
    store = new WebhookStore({ sql, now: clock.now, allowPrivateWebhooks: true });
  });
  afterEach(() => sql.close());
  const record = () => sql.write((tx) => events.record(tx, "version.activated", { version: "v" }));
  const dispatcher = (fetch: typeof globalThis.fetch) =>
    new WebhookDispatcher({ sql, clock, fetch, random: () => 0.5, allowPrivateWebhooks: true });
  const hook = { url: "http://127.0.0.1:1/hook", secret: "0123456789abcdef" };

  test("refuses private addresses, other schemes and short secrets", async () => {
    const strict = new WebhookStore({ sql });
    await expect(strict.create(hook)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    for (const input of [
      { ...hook, url: "file:///etc/passwd" },
      { ...hook, secret: "short" },
      { ...hook, events: ["x.y"] },
    ]) {
      await expect(store.create(input)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
    expect(await store.list()).toEqual([]);
  });

  test("calls who wants the event, signed; nobody else", async () => {
    const created = await store.create({ ...hook, events: ["version.*"] });
    await store.create({ ...hook, url: "http://127.0.0.1:1/jobs", events: ["job.*"] });
    expect(created).not.toHaveProperty("secret");
    const event = await record();
    const calls: [string, RequestInit][] = [];
    const delivered = await dispatcher(async (url, init) => {
      calls.push([String(url), init!]);
      return new Response(null, { status: 204 });
    }).deliverDue();
    expect(delivered).toBe(1);
    const [url, init] = calls[0]!;
    const headers = init.headers as Record<string, string>;
    expect(url).toBe(hook.url);
    expect(JSON.parse(String(init.body))).toEqual(event);
    expect(headers["x-seg-event"]).toBe("version.activated");
    expect(headers["x-seg-timestamp"]).toBe(String(START / 1000));
    expect(headers["x-seg-signature"]).toBe(
      `sha256=${signWebhook(hook.secret, String(START / 1000), String(init.body))}`,
    );
    expect(init.redirect).toBe("manual");
    expect(await sql.all("SELECT * FROM webhook_delivery")).toEqual([]);
  });

  test("tries again after 1, 2, 4, ... seconds, at most eight times", async () => {
    await store.create(hook);
    await record();
    const waits: number[] = [];
    let calls = 0;
    const failing = dispatcher(async () => {
      calls++;
      return new Response(null, { status: 500 });
    });
    while ((await failing.deliverDue()) > 0) {
      const [row] = await sql.all("SELECT next_ms FROM webhook_delivery");
      if (row === undefined) break;
      waits.push((integer(row, "next_ms") - clock.now()) / 1000);
      expect(await failing.deliverDue()).toBe(0);
      clock.advance(integer(row, "next_ms") - clock.now());
    }
    expect(calls).toBe(MAX_ATTEMPTS);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64]);
  });

  test("a redirect or a broken connection is a failure, and an event of an undone change is never sent", async () => {
    await store.create(hook);
    await expect(
      sql.write(async (tx) => {
        await events.record(tx, "version.deleted", {});
        throw new Error("undone");
      }),
    ).rejects.toThrow("undone");
    expect(await sql.all("SELECT * FROM webhook_delivery")).toEqual([]);
    await record();
    await dispatcher(
      async () => new Response(null, { status: 302, headers: { location: "http://10.0.0.1/" } }),
    ).deliverDue();
    clock.advance(2000);
    await dispatcher(async () => {
      throw new TypeError("connection refused");
    }).deliverDue();
    expect(await sql.all("SELECT attempts, last_error FROM webhook_delivery")).toEqual([
      { attempts: 2, last_error: "connection refused" },
    ]);
  });

  test("start delivers by itself and stop ends it; a deleted webhook gets nothing more", async () => {
    const { id } = await store.create(hook);
    await record();
    let called: () => void = () => undefined;
    const call = new Promise<void>((resolve) => {
      called = resolve;
    });
    const running = new WebhookDispatcher({
      sql,
      fetch: async () => {
        called();
        return new Response("ok");
      },
      allowPrivateWebhooks: true,
      pollMs: 10,
    });
    running.start();
    await call;
    await running.stop();
    await record();
    await store.delete(id);
    expect(await sql.all("SELECT * FROM webhook_delivery")).toEqual([]);
    await expect(store.delete(id)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});
