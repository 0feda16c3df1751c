import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createHub } from "../hub.js";
import { startFakeHub } from "../testing/fake-hub.js";

const PYTHON = process.env["SEG_PEER_PYTHON"] ?? "/tmp/peer/venv/bin/python";

const SCAN = `
import json, sys
from huggingface_hub import scan_cache_dir, try_to_load_from_cache
info = scan_cache_dir(sys.argv[1])
print(json.dumps({
  "warnings": [str(w) for w in info.warnings],
  "repos": [[r.repo_id, [[v.commit_hash, sorted(v.refs), sorted(f.file_name for f in v.files)] for v in r.revisions]] for r in info.repos],
  "found": str(try_to_load_from_cache("acme/sam", "onnx/model.onnx", cache_dir=sys.argv[1])),
}))
`;
const DOWNLOAD = `
import sys
from huggingface_hub import snapshot_download
print(snapshot_download("acme/sam", cache_dir=sys.argv[1], endpoint=sys.argv[2]))
`;

test.skipIf(!existsSync(PYTHON))(
  "Python's huggingface_hub lists a cache written here (needs SEG_PEER_PYTHON)",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "python-"));
    const fake = await startFakeHub({
      repos: [{ id: "acme/sam", licence: "mit", files: { "config.json": "{}", "onnx/model.onnx": "weights" } }],
    });
    const commit = fake.commitOf("acme/sam");
    const environment = { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfEndpoint: fake.url, hfToken: null };
    await createHub({ env: {}, environment }).download("hf:acme/sam");
    const seen = JSON.parse(execFileSync(PYTHON, ["-c", SCAN, join(root, "hf")], { encoding: "utf8" }));
    expect(seen).toEqual({
      warnings: [],
      repos: [["acme/sam", [[commit, ["main"], ["config.json", "model.onnx"]]]]],
      found: join(root, "hf", "models--acme--sam", "snapshots", commit, "onnx", "model.onnx"),
    });
    await fake.close();
    await rm(root, { recursive: true, force: true });
  },
);

test.skipIf(!existsSync(PYTHON))(
  "a cache written by Python's huggingface_hub is read here, offline (needs SEG_PEER_PYTHON)",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "python-"));
    const fake = await startFakeHub({
      repos: [{ id: "acme/sam", licence: "mit", files: { "config.json": "{}", "onnx/model.onnx": "weights" } }],
    });
    const { execFile } = await import("node:child_process");
    await new Promise<void>((resolve, reject) =>
      execFile(
        PYTHON,
        ["-c", DOWNLOAD, join(root, "hf"), fake.url],
        { env: { ...process.env, HF_HUB_DISABLE_XET: "1" } },
        (error, _, stderr) => (error ? reject(new Error(stderr)) : resolve()),
      ),
    );
    await fake.close();
    const environment = { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfToken: null, isOffline: true };
    const hub = createHub({ env: {}, environment });
    const installed = await hub.download("hf:acme/sam");
    expect(installed.files.map(({ name, verified }) => [name, verified])).toEqual([
      ["config.json", true],
      ["onnx/model.onnx", true],
    ]);
    expect((await hub.cache.verify()).findings).toEqual([]);
    await rm(root, { recursive: true, force: true });
  },
);
