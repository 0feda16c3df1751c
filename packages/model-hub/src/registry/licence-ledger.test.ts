import { expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import { LicenceLedger } from "./licence-ledger.js";

describeDatabases("LicenceLedger", (database) => {
  test("appends and lists, newest first", async () => {
    const sql = await database.open();
    try {
      const ledger = new LicenceLedger({ sql, now: () => Date.UTC(2026, 0, 1) });
      const first = await ledger.append({ id: "hf:a/b", sha256: "AB".repeat(32), licence: "mit", accepted_by: null });
      expect(first).toEqual({
        seq: 1,
        id: "hf:a/b",
        sha256: "ab".repeat(32),
        licence: "mit",
        accepted_by: null,
        at: "2026-01-01T00:00:00.000Z",
      });
      const second = await ledger.append({
        id: "hf:c/d",
        sha256: "cd".repeat(32),
        licence: "unknown",
        accepted_by: "ana",
      });
      expect(await ledger.list()).toEqual([second, first]);
      expect(await ledger.list({ id: "hf:a/b" })).toEqual([first]);
    } finally {
      await sql.close();
    }
  });
});
