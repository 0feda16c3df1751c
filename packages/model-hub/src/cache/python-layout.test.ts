import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { createHub } from "../hub.js";
import { startFakeHub } from "../testing/fake-hub.js";

/** A Python with huggingface_hub. */
const PYTHON = process.env["SEG_PEER_PYTHON"];
/** Its import takes seconds on a busy machine. */
const PATIENCE_MS = 180_000;
const python = async (code: string, ...args: string[]): Promise<string> => {
  const env = { ...process.env, HF_HUB_DISABLE_XET: "1" };
  return (await promisify(execFile)(PYTHON!, ["-c", code, ...args], { env })).stdout;
};

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

test.skipIf(PYTHON === undefined)(
  "Python's huggingface_hub lists a cache written here (needs SEG_PEER_PYTHON)",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "python-"));
    const fake = await startFakeHub({
      repos: [{ id: "acme/sam", licence: "mit", files: { "config.json": "{}", "onnx/model.onnx": "weights" } }],
    });
    const commit = fake.commitOf("acme/sam");
    const environment = { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfEndpoint: fake.url, hfToken: null };
    await createHub({ env: {}, environment }).download("hf:acme/sam");
    const seen = JSON.parse(await python(SCAN, join(root, "hf")));
    expect(seen).toEqual({
      warnings: [],
      repos: [["acme/sam", [[commit, ["main"], ["config.json", "model.onnx"]]]]],
      found: join(root, "hf", "models--acme--sam", "snapshots", commit, "onnx", "model.onnx"),
    });
    await fake.close();
    await rm(root, { recursive: true, force: true });
  },
  PATIENCE_MS,
);

test.skipIf(PYTHON === undefined)(
  "a cache written by Python's huggingface_hub is read here, offline (needs SEG_PEER_PYTHON)",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "python-"));
    const fake = await startFakeHub({
      repos: [{ id: "acme/sam", licence: "mit", files: { "config.json": "{}", "onnx/model.onnx": "weights" } }],
    });
    await python(DOWNLOAD, join(root, "hf"), fake.url);
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
  PATIENCE_MS,
);
