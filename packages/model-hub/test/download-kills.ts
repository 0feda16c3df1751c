import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { listFiles, listNames } from "../src/cache/cache-folder.js";
import { HubCache } from "../src/cache/hub-cache.js";
import { parseTree } from "../src/cache/tree.js";
import { digestOfFiles } from "../src/download/install-model.js";
import { startFakeHub } from "../src/testing/fake-hub.js";
import type { DownloadResult, DownloadTask } from "./download-child.js";
import { randomOf } from "./random-of.js";
import { answerOf, bundleProgram, startChild } from "./run-child.js";

/** What was left by processes that were killed while they downloaded. */
export interface DownloadKills {
  readonly kills: number;
  /** Caches that were filled to the end. */
  readonly completed: number;
  /** Requests that went on where a killed process had stopped. */
  readonly resumed: number;
  readonly violations: readonly string[];
}

const FOLDER = "models--acme--sam";
const bytesOf = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 7) * seed) & 255));
/** Over several chunks of a mebibyte, none a multiple of one. */
export const SNAPSHOT: Readonly<Record<string, Buffer>> = {
  "config.json": Buffer.from('{"a":1}\n'),
  "README.md": Buffer.from("# a model\n"),
  "onnx/model.onnx": bytesOf(1_300_003, 3),
  "model.safetensors": bytesOf(3_700_001, 5),
};
const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const gitSha1Of = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
/** As `Installed` has it. */
export const SNAPSHOT_SHA256 = digestOfFiles(
  Object.entries(SNAPSHOT).map(([name, bytes]) => ({ name, sha256: sha256Of(bytes) })),
);

/**
 * Starts downloads of one snapshot and kills each: before a call that changes files, drawn by `seed` from all of them, and with `timed` every
 * second one at a moment drawn by the clock. The next process goes on in the same cache, until one gets to the end; then a new cache. After
 * each kill every name that a reader may look at must be whole.
 * @param inspect - further complaints about a cache that a killed process left
 */
export async function killDownloading({
  root,
  kills,
  seed = 1,
  timed = false,
  inspect = async () => [],
}: {
  root: string;
  kills: number;
  seed?: number;
  timed?: boolean;
  inspect?: (hfCache: string) => Promise<readonly string[]>;
}): Promise<DownloadKills> {
  const program = await bundleProgram("./download-child.ts");
  const hub = await startFakeHub({ repos: [{ id: "acme/sam", licence: "mit", files: SNAPSHOT }] });
  const commit = hub.commitOf("acme/sam");
  const random = randomOf(seed);
  const violations: string[] = [];
  let cache = await mkdtemp(join(root, "cache-"));
  const start = (killAt: number | null) => {
    const task: DownloadTask = { endpoint: hub.url, root: cache, ref: "hf:acme/sam", killAt };
    return startChild(program, task);
  };
  const renew = async () => {
    await rm(cache, { recursive: true, force: true });
    cache = await mkdtemp(join(root, "cache-"));
  };
  const first = start(null);
  await once(first.child.stdout!, "data");
  const began = performance.now();
  const whole = (await answerOf<DownloadResult>(first))!;
  const wholeMs = performance.now() - began;
  await renew();
  let killed = 0;
  let completed = 0;
  while (killed < kills) {
    const isTimed = timed && killed % 2 === 1;
    const running = start(isTimed ? null : 1 + random(whole.steps));
    if (isTimed) {
      await once(running.child.stdout!, "data");
      await sleep(random(Math.ceil(wholeMs)));
      running.child.kill("SIGKILL");
    }
    const answer = await answerOf<DownloadResult>(running);
    if (answer === null) {
      killed++;
      const left = [...(await findHalf(cache, commit)), ...(await inspect(join(cache, "hf")))];
      violations.push(...left.map((what) => `after kill ${killed}: ${what}`));
      continue;
    }
    completed++;
    violations.push(...(await findWrong(cache, answer)).map((what) => `completed ${completed}: ${what}`));
    await renew();
  }
  // The last one must end well too.
  violations.push(...(await findWrong(cache, (await answerOf<DownloadResult>(start(null)))!)));
  const resumed = hub.requests.filter(({ range, server }) => server === "cdn" && range !== null).length;
  await hub.close();
  return { kills: killed, completed: completed + 1, resumed, violations };
}

/** Everything that a reader of the cache could meet and that is not whole. */
async function findHalf(root: string, commit: string): Promise<string[]> {
  const at = join(root, "hf", FOLDER);
  const wrong: string[] = [];
  for (const name of await listNames(join(at, "blobs"))) {
    if (name.endsWith(".incomplete")) continue;
    const bytes = await readFile(join(at, "blobs", name));
    if (name !== sha256Of(bytes) && name !== gitSha1Of(bytes)) wrong.push(`blob ${name} has other content`);
  }
  const snapshots = await listFiles(join(at, "snapshots"));
  for (const path of snapshots) {
    const [revision, ...rest] = path.split("/");
    const expected = SNAPSHOT[rest.join("/")];
    const pointer = join(at, "snapshots", path);
    const target = resolve(dirname(pointer), await readlink(pointer));
    const bytes = await readFile(target).catch(() => null);
    if (revision !== commit || expected === undefined) wrong.push(`the snapshot shows ${path}`);
    else if (bytes === null || !bytes.equals(expected)) wrong.push(`${path} is half or gone`);
  }
  for (const ref of await listFiles(join(at, "refs"))) {
    if (ref !== "main" || (await readFile(join(at, "refs", ref), "utf8")) !== commit) wrong.push(`ref ${ref} is half`);
    else if (snapshots.length !== Object.keys(SNAPSHOT).length) wrong.push("the ref names a half snapshot");
  }
  for (const tree of await listFiles(join(at, "trees"))) {
    const isWhole = parseTree(await readFile(join(at, "trees", tree), "utf8")) !== null;
    if (tree !== `${commit}.json` || !isWhole) wrong.push(`tree ${tree} is half`);
  }
  return wrong;
}

/** A finished cache: content, hashes, and nothing beside it once what the killed processes left is pruned. */
async function findWrong(root: string, { sha256 }: DownloadResult): Promise<string[]> {
  const wrong = sha256 === SNAPSHOT_SHA256 ? [] : [`the installed model has ${sha256}`];
  const later = Date.now() + 1e7;
  const cache = new HubCache({ hfRoot: join(root, "hf"), segRoot: join(root, "seg"), now: () => later });
  const { findings } = await cache.verify({ complete: true });
  wrong.push(...findings.map(({ kind, path }) => `${kind} ${path}`));
  await cache.prune();
  const blobs = await listNames(join(root, "hf", FOLDER, "blobs"));
  const expected = Object.values(SNAPSHOT).length;
  if (blobs.length !== expected) wrong.push(`${blobs.length} blobs of ${expected}: ${blobs.map((b) => basename(b))}`);
  const left = (await listFiles(join(root, "hf"))).filter((path) => path.endsWith(".tmp"));
  wrong.push(...left.map((path) => `${path} is left`));
  return wrong;
}
