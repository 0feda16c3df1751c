import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pretrainedGroundingDinoDirectory } from "../load-teachers.js";
import { GroundingDinoTeacher } from "./teacher.js";
import { type TextEmbedder, textEmbedder } from "./text-embedder.js";

let teacher: GroundingDinoTeacher;
let embedder: TextEmbedder;

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  teacher = GroundingDinoTeacher.fromPretrained(pretrainedGroundingDinoDirectory());
  embedder = textEmbedder(teacher, { name: "the small one" });
});
afterAll(() => {
  embedder.dispose();
  teacher.dispose();
});

const cosine = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

describe("textEmbedder", () => {
  test("the same text is 1, what teaching showed as alike is nearer than what it did not", async () => {
    const [dent, again, crack, circle, red, orange, blue] = await embedder.embed([
      "dent",
      "Dent!",
      "crack",
      "green circle",
      "red bag",
      "orange bag",
      "blue bag",
    ]);
    expect(cosine(dent!, again!)).toBeCloseTo(1, 5);
    expect(cosine(dent!, crack!)).toBeGreaterThan(cosine(dent!, circle!) + 0.3);
    expect(cosine(red!, orange!)).toBeGreaterThan(cosine(red!, blue!) + 0.3);
  });

  test("unit vectors of the encoder's width; alone, in company and again the same", async () => {
    const texts = ["red bag", "a striped oval with a seal. dent", "hole"];
    const together = await embedder.embed(texts);
    const width = teacher.model.config.text.hiddenSize;
    for (const vector of together) {
      expect(vector).toHaveLength(width);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    }
    expect(await embedder.embed(texts)).toEqual(together);
    for (const [i, text] of texts.entries()) {
      const [alone] = await embedder.embed([text]);
      expect(cosine(alone!, together[i]!)).toBeCloseTo(1, 5);
    }
  });

  test("sentences are phrases of their own, so their order does not count", async () => {
    const [one, other, joined] = await embedder.embed(["red bag. dent", "dent. red bag", "red bag dent"]);
    expect(cosine(one!, other!)).toBeCloseTo(1, 5);
    expect(cosine(one!, joined!)).toBeLessThan(0.999);
  });

  test("words that the vocabulary only spells are left out and named; of nothing known the vector is zero", async () => {
    expect(embedder.unknownWords("Platelets on a red bag, platelets")).toEqual(["platelets", "on", "a"]);
    const [known, more, none, empty] = await embedder.embed(["red bag", "red platelets bag", "platelets", ""]);
    expect(cosine(known!, more!)).toBeCloseTo(1, 5);
    for (const vector of [none!, empty!]) expect(vector.every((value) => value === 0)).toBe(true);
  });

  test("a text longer than a caption is read in several", async () => {
    const { maxTextLength } = teacher.model.config;
    const long = "red bag ".repeat(maxTextLength).trim();
    const [short, vector] = await embedder.embed(["red bag", long]);
    expect(Math.hypot(...vector!)).toBeCloseTo(1, 5);
    expect(cosine(short!, vector!)).toBeGreaterThan(0.5);
  });

  test("keeps no tensor", async () => {
    const before = tf.memory().numTensors;
    await embedder.embed(["red bag", "blue circle"]);
    expect(tf.memory().numTensors).toBe(before);
  });
});
