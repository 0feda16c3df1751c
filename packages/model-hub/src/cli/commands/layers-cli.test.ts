import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/databases.js";
import { runHub } from "../../../test/run-hub.js";
import { startS3Double } from "../../testing/s3-double.js";

const directory = temporaryDirectory();
let root: string;
let env: Record<string, string>;
beforeEach(() => {
  root = mkdtempSync(join(directory.path, "hub-"));
  env = { SEG_HUB_HOME: root, HF_HOME: join(root, "hf"), USER: "ana" };
});

const run = (...argv: string[]) => runHub(argv, { env });
const json = async (...argv: string[]) => JSON.parse((await run(...argv, "--json")).out);
const put = (name: string, content: string) => {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
};

test("init, push, list, resolve, card", async () => {
  writeFileSync(
    join(root, "layers.yaml"),
    "layers: { layer-3: { purpose: tone, tasks: [tone], architectures: { curve: { knots: 9 } } } }\n",
  );
  expect((await json("layers", "init")).written).toContain("layers/layer-3/README.md");
  expect((await run("layers", "init")).out).toContain("nothing to do");
  const push = ["layers", "push", "layer-3", put("curve.onnx", "weights"), "--architecture", "curve", "--task", "tone"];
  const more = ["--licence", "MIT", "--metric", "psnr=31.5", "--training-data", "ours", "--input-spec", "NCHW"];
  expect(await json(...push, ...more)).toMatchObject({
    ok: [{ name: "curve", metrics: { psnr: 31.5 }, uploaded_by: "ana", training_data: "ours" }],
    failed: [],
  });
  const again = await run(...push, ...more);
  expect(again).toMatchObject({ status: 0, out: expect.stringContaining("0 stored, 1 skipped, 0 failed") });
  expect((await run("layers", "list", "layer-3")).out).toMatch(/curve +curve +tone +1 +[0-9a-f]{12}/);
  expect((await run("layers", "list", "layer-9")).status).toBe(1);
  const { out } = await run("layers", "resolve", "layer-3", "--task", "tone");
  expect(readFileSync(out.trim(), "utf8")).toBe("weights");
  expect(await json("layers", "resolve", "layer-3", "--model", "curve")).toMatchObject({ settings: { knots: 9 } });
  expect((await run("layers", "card", "layer-3", "curve")).out).toContain("# curve");
  expect((await run("layers", "resolve", "layer-3", "--task", "fly")).err).toContain("its tasks are tone");
});

test("one bad file of many leaves the others alone: exit 1; only wrong digests: exit 3; bad usage: 2", async () => {
  const layer = ["layers", "push", "layer-2", "--architecture", "net", "--task", "denoise", "--licence", "MIT"];
  const [good, page, bare] = [put("good.pth", "a"), put("page.pth", "<html>"), join(root, "absent.pth")];
  const summary = await run(...layer, good, page, bare);
  expect(summary.status).toBe(1);
  expect(summary.out).toMatch(/ok {7}good/);
  expect(summary.out).toMatch(/failed {3}page {2}UNEXPECTED_CONTENT/);
  expect(summary.out).toMatch(/failed {3}absent {2}NOT_FOUND/);
  expect((await run(...layer, put("b.pth", "b"), "--sha256", "0".repeat(64))).status).toBe(3);
  expect((await run(...layer, good, page, "--name", "x")).status).toBe(2);
  expect((await run(...layer, good, "--metric", "psnr")).status).toBe(2);
  expect((await run("layers", "push", "layer-2")).status).toBe(2);
  expect((await run("layers", "pull")).status).toBe(2);
  const pull = await run("layers", "pull", "layer-1", "--model", "restormer_deraining");
  expect(pull).toMatchObject({ status: 1, out: expect.stringContaining("--name restormer_deraining") });
  put("layers.yaml", "layers: { layer-0: { purpose: x, tasks: [a] } }");
  expect((await run("layers", "list")).err).toContain("layers are called layer-1");
});

test("a folder is one model of several files", async () => {
  mkdirSync(join(root, "big"));
  put("big/model.onnx", "graph");
  put("big/model.onnx_data", "weights");
  const more = ["--architecture", "net", "--task", "denoise", "--licence", "MIT"];
  const { ok } = await json("layers", "push", "layer-2", join(root, "big"), ...more);
  expect(ok).toMatchObject([{ name: "big", files: [{ name: "model.onnx" }, { name: "model.onnx_data" }] }]);
});

test("--store names a bucket; init makes it; credentials come from the environment", async () => {
  const double = await startS3Double({ bucket: "other" });
  const store = ["--store", `s3+${double.endpoint}/restoration`];
  expect((await run("layers", "init", ...store)).err).toContain("AWS_ACCESS_KEY_ID is not set");
  const { accessKeyId, secretAccessKey } = double.credentials;
  env = { ...env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  expect((await run("layers", "init", ...store)).status).toBe(0);
  const push = ["layers", "push", "layer-1", put("derain.pth", "w"), "--name", "restormer_deraining"];
  expect((await run(...push, ...store)).out).toContain("LICENCE_NOT_ACCEPTED");
  expect((await run(...push, ...store, "--accept-licence")).status).toBe(0);
  expect([...double.objects().keys()].filter((key) => key.includes("restormer"))).toHaveLength(2);
  expect((await run("layers", "list", "--store", "ftp://x/y")).err).toContain("is no store");
  expect((await run("layers", "list", "--store", "s3+http://user:secret@host/b")).err).not.toContain("secret");
  await double.close();
});
