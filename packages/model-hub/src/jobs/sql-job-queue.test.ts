import { afterEach, beforeEach, expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import { jobQueueConformance } from "../../test/job-queue-conformance.js";
import { manualClock } from "../../test/open-registry.js";
import type { HubEvent } from "../registry/types.js";
import type { SqlDriver } from "../sql/driver.js";
import { openDatabase } from "../sql/open-database.js";
import { HubEvents } from "../webhooks/hub-events.js";
import { SqlJobQueue } from "./sql-job-queue.js";

describeDatabases("SqlJobQueue", (database) => {
  const opened: SqlDriver[] = [];
  let address: string;
  beforeEach(() => {
    opened.length = 0;
  });
  afterEach(async () => {
    await Promise.all(opened.map((sql) => sql.close()));
  });
  const open = async (options: Partial<ConstructorParameters<typeof SqlJobQueue>[0]> = {}) => {
    const sql = await openDatabase(address);
    opened.push(sql);
    const events = new HubEvents();
    const told: HubEvent[] = [];
    events.subscribe((event) => told.push(event));
    const expire = async (id: string) => {
      await sql.write((tx) =>
        tx.run("UPDATE job SET lease_until_ms = 0 WHERE id = ? AND state IN ('running', 'cancelling')", [id]),
      );
    };
    return { queue: new SqlJobQueue({ sql, events, pollMs: 20, ...options }), told, expire };
  };
  const openNew = async () => {
    address = (await database.address())!;
  };
  jobQueueConformance(open, openNew);

  test("refuses more waiting jobs than its limit", async () => {
    await openNew();
    const { queue } = await open({ maxQueued: 2 });
    await queue.enqueue({ kind: "gc" });
    await queue.enqueue({ kind: "gc" });
    await expect(queue.enqueue({ kind: "gc" })).rejects.toMatchObject({ code: "QUEUE_FULL" });
  });

  test("forgets events seven days after the end, keeps the job", async () => {
    await openNew();
    const clock = manualClock(Date.UTC(2026, 0, 1));
    const { queue } = await open({ clock });
    const { id } = await queue.enqueue({ kind: "gc" });
    await queue.cancel(id);
    clock.advance(7 * 24 * 3600_000);
    expect((await queue.maintain()).eventsRemoved).toBe(0);
    clock.advance(1);
    expect((await queue.maintain()).eventsRemoved).toBe(2);
    expect((await queue.get(id)).state).toBe("cancelled");
  });
});
