import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { shapeScene } from "../synthetic/shape-world.js";
import { parseSamConfig } from "./config.js";
import { EmbeddingCache } from "./embedding-cache.js";
import { encodeImageOnce } from "./predict.js";
import { Sam } from "./sam.js";

const config = parseSamConfig({
  vision_config: {
    hidden_size: 16,
    output_channels: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    image_size: 32,
    patch_size: 8,
    window_size: 0,
    num_pos_feats: 8,
    mlp_dim: 16,
  },
  prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
  mask_decoder_config: { hidden_size: 16, mlp_dim: 16, num_attention_heads: 2, iou_head_hidden_dim: 16 },
});
const [first, second] = [0, 1].map((index) => shapeScene({ seed: 4, split: "train", index, side: 32 }).image);

let directory: string;
let sam: Sam;
beforeEach(async () => {
  await tf.setBackend("cpu");
  directory = mkdtempSync(join(tmpdir(), "seg-embeddings-"));
  sam = new Sam(config, { seed: 0 });
});
afterEach(() => {
  sam.dispose();
  rmSync(directory, { recursive: true, force: true });
});

const fresh = (dtype: "F32" | "F16" = "F32", network = sam) => new EmbeddingCache({ sam: network, directory, dtype });
const entry = () => join(directory, readdirSync(directory)[0]!);

test("F32 entries equal uncached values bit for bit, from memory and from disk", async () => {
  const expected = await encodeImageOnce(sam, first!);
  const cache = fresh();
  expect(await cache.get(first!, false)).toEqual({ embedding: expected, computed: true });
  expect(await cache.get(first!, false)).toEqual({ embedding: expected, computed: false });
  expect(await fresh().get(first!, false)).toEqual({ embedding: expected, computed: false });
  expect(readdirSync(directory)).toHaveLength(1);
});

test("F16 entries take half the space and are the same before and after the disk", async () => {
  await fresh().get(first!, false);
  const wide = readFileSync(entry()).length;
  rmSync(entry());
  const computed = await fresh("F16").get(first!, false);
  const read = await fresh("F16").get(first!, false);
  expect(read).toEqual({ embedding: computed.embedding, computed: false });
  expect(wide - readFileSync(entry()).length).toBe(2 * computed.embedding.length);
  const exact = await encodeImageOnce(sam, first!);
  for (const [i, value] of exact.entries()) {
    expect(Math.abs(read.embedding[i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -11 + 1e-7);
  }
});

test("another image, view, stored type or network is another entry", async () => {
  await fresh().get(first!, false);
  expect((await fresh().get(first!, true)).computed).toBe(true);
  expect((await fresh().get(second!, false)).computed).toBe(true);
  expect((await fresh("F16").get(first!, false)).computed).toBe(true);
  const other = new Sam(config, { seed: 1 });
  expect((await fresh("F32", other).get(first!, false)).computed).toBe(true);
  other.dispose();
  expect(readdirSync(directory)).toHaveLength(5);
});

test.each<[string, (path: string) => Promise<void> | void]>([
  ["a truncated", (path) => truncateSync(path, 60)],
  ["an empty", (path) => writeFileSync(path, "")],
  ["a foreign", (path) => writeFileSync(path, "not a weight file at all")],
  [
    "another image's",
    async (path) => {
      await fresh().get(second!, false);
      const other = readdirSync(directory).find((name) => !path.endsWith(name))!;
      copyFileSync(join(directory, other), path);
    },
  ],
])("%s entry is computed again and replaced", async (_what, damage) => {
  const { embedding } = await fresh().get(first!, false);
  const path = entry();
  await damage(path);
  expect(await fresh().get(first!, false)).toEqual({ embedding, computed: true });
  expect(await fresh().get(first!, false)).toEqual({ embedding, computed: false });
});
