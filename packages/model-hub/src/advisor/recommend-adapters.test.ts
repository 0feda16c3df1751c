import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAdapterCandidates } from "./adapter-candidates.js";
import { cosine, type Embedder, hashedEmbedder } from "./embedder.js";
import {
  type AdapterCandidate,
  type AdapterRequest,
  adapterWeight,
  balanceWeights,
  explainAdapters,
  recommendAdapters,
  weightedScore,
} from "./recommend-adapters.js";

const candidate = (id: string, more: Partial<AdapterCandidate> = {}): AdapterCandidate => ({
  id,
  name: id,
  kind: "lora",
  baseModel: "grounding-dino-tiny",
  licence: "apache-2.0",
  downloads: 1000,
  rating: 4,
  owner: "someone",
  tags: [],
  safety: { safeFormat: true, pickleScan: null } as AdapterCandidate["safety"],
  ...more,
});

const blood = candidate("blood", {
  description: "red and white blood cells and platelets under the microscope",
  tags: ["medical"],
});
const cells = candidate("cells", { description: "cells in microscope pictures", downloads: 10 });
const cars = candidate("cars", { description: "cars and trucks on a motorway" });
const request: AdapterRequest = {
  task: "count blood cells in microscope images",
  classNames: ["RBC", "WBC", "platelets"],
  candidates: [cars, cells, blood],
};

describe("scores", () => {
  test("0.40, 0.30, 0.20, 0.10", () => {
    expect(weightedScore({ semantic: 0.8, keyword: 0.5, popularity: 0.6, history: 0.4 })).toBeCloseTo(0.63, 12);
  });

  test("weights of adapters, and their sum at most 3", () => {
    expect(adapterWeight(0.5, 0.5)).toBeCloseTo(0.7, 12);
    expect([adapterWeight(-9, 0), adapterWeight(9, 1)]).toEqual([0.3, 1.2]);
    expect(balanceWeights([1.2, 1, 0.9, 0.8]).map((w) => Number(w.toFixed(4)))).toEqual([
      0.9231, 0.7692, 0.6923, 0.6154,
    ]);
    expect(balanceWeights([1, 1])).toEqual([1, 1]);
  });

  test("the embedder: equal texts 1, unit vectors, endings meet half way, no words zero", async () => {
    const [a, b, c, d, e] = await hashedEmbedder.embed([
      "red blood cell",
      "red blood cell",
      "red blood cells",
      "motorway",
      "",
    ]);
    expect(cosine(a!, b!)).toBeCloseTo(1, 6);
    expect(cosine(a!, c!)).toBeGreaterThan(0.7);
    expect(cosine(a!, d!)).toBeLessThan(0.2);
    expect(e!.every((value) => value === 0)).toBe(true);
  });
});

describe("recommendAdapters", () => {
  test("finds what the task is about, with parts and a sentence", async () => {
    const { recommended, rejected } = await recommendAdapters(request);
    expect(recommended.map(({ id }) => id)).toEqual(["blood", "cells"]);
    const [first] = recommended;
    expect(first!.score).toBeCloseTo(weightedScore(first!.parts), 12);
    // blood, cells, microscope, platelets (twice) of count, blood, cells, microscope, rbc (2), wbc (2), platelets (2).
    expect(first!.parts).toMatchObject({ keyword: 5 / 10, history: 0.5 });
    expect(first!.parts.popularity).toBeCloseTo(0.5 * (Math.log10(1001) / 6) + 0.5 * 0.8, 12);
    expect(first!.reasoning).toMatch(/^It speaks of blood, cells, microscope, platelets; .*downloaded 1000 times\.$/);
    expect(rejected).toEqual([{ id: "cars", score: expect.any(Number), reason: expect.stringMatching(/below 0.25/) }]);
  });

  test("another measure of likeness decides where it is given, and is named with the words it does not know", async () => {
    const embedder: Embedder = {
      measure: "the text encoder of a test",
      embed: (texts) =>
        texts.map((text) => Float32Array.of(/car|count/.test(text) ? 1 : 0, /car|count/.test(text) ? 0 : 1)),
      unknownWords: () => ["rbc"],
    };
    const twins = [
      { ...blood, id: "a" },
      { ...blood, id: "car", name: "car" },
    ];
    const advice = await recommendAdapters({ ...request, candidates: twins, embedder });
    expect(advice.recommended.map(({ id, parts }) => [id, parts.semantic])).toEqual([
      ["car", 1],
      ["a", 0],
    ]);
    expect(explainAdapters(advice)).toMatch(/measured by the text encoder of a test; it does not know rbc\n$/);
    const byWords = await recommendAdapters(request);
    expect([byWords.measure, byWords.unread]).toEqual(["words and character grams", []]);
    expect(explainAdapters(byWords)).toMatch(/^Adapters\n {2}blood at [\s\S]*\n {2}not cars: its score/);
  });

  test("candidates are read from a list or from what a search prints", () => {
    const [read] = parseAdapterCandidates([{ id: "hf:x/y", name: "y" }]);
    expect(read).toMatchObject({ kind: "lora", licence: null, tags: [], safety: { safeFormat: null } });
    expect(parseAdapterCandidates({ hits: [blood] })).toEqual([{ ...blood, safety: { ...blood.safety, nsfw: false } }]);
    expect(() => parseAdapterCandidates({ models: [] }, "x.json")).toThrow(/x\.json is not valid/);
  });

  test.each([
    [{ blocked: { tags: ["Medical"] } }, 'its tag "medical" is blocked'],
    [{ blocked: { words: ["platelets"] } }, 'it speaks of "platelets", which is blocked'],
    [{ blocked: { owners: ["Someone"] } }, "its publisher someone is blocked"],
    [{ baseModel: "sam-vit-b" }, "it was made for grounding-dino-tiny, not for sam-vit-b"],
    [{ licences: ["mit"] }, "its licence apache-2.0 is not accepted"],
  ] as const)("leaves out: %o", async (more, reason) => {
    const { recommended, rejected } = await recommendAdapters({ ...request, candidates: [blood], ...more });
    expect(recommended).toEqual([]);
    expect(rejected).toEqual([{ id: "blood", score: null, reason }]);
  });

  test("leaves out pickles that nobody checked", async () => {
    const pickle = (pickleScan: string | null) => ({
      ...blood,
      safety: { ...blood.safety, safeFormat: false, pickleScan },
    });
    expect((await recommendAdapters({ ...request, candidates: [pickle(null)] })).recommended).toEqual([]);
    expect((await recommendAdapters({ ...request, candidates: [pickle("Success")] })).recommended).toHaveLength(1);
  });

  test("of contradicting ones the better stays, and the reason names it", async () => {
    const layers = { targetModules: ["decoder"] };
    const one = { ...blood, ...layers, classNames: ["RBC"] };
    const other = { ...blood, ...layers, id: "other", downloads: 1, classNames: ["WBC"] };
    const conflict = await recommendAdapters({ ...request, candidates: [other, one] });
    expect(conflict.recommended.map(({ id }) => id)).toEqual(["blood"]);
    expect(conflict.rejected[0]!.reason).toMatch(/contradicts blood, whose score is 0\.\d\d/);
    const same = await recommendAdapters({ ...request, candidates: [one, { ...other, classNames: ["rbc"] }] });
    expect(same.recommended).toHaveLength(2);
    const styles = await recommendAdapters({
      ...request,
      candidates: [
        { ...blood, exclusiveGroup: "style" },
        { ...cells, exclusiveGroup: "style" },
      ],
    });
    expect(styles.recommended).toHaveLength(1);
  });

  test("what did well here rises, what did badly falls", async () => {
    const twins = [blood, { ...blood, id: "twin" }];
    const after = async (successes: number, averageRating: number | null) => {
      const history = new Map([["twin", { runs: 10, successes, averageRating }]]);
      return (await recommendAdapters({ ...request, candidates: twins, history })).recommended.map(({ id }) => id);
    };
    expect(await after(10, null)).toEqual(["twin", "blood"]);
    expect(await after(10, 5)).toEqual(["twin", "blood"]);
    expect(await after(0, 1)).toEqual(["blood", "twin"]);
  });

  test("any candidates: sorted, at most eight, parts in 0..1, weights at most 3 together, everybody accounted for, the same again", async () => {
    const word = fc.constantFrom("blood", "cell", "car", "microscope", "leaf", "RBC");
    const some = fc.record({
      words: fc.array(word, { maxLength: 5 }),
      downloads: fc.option(fc.nat(1e7), { nil: null }),
      rating: fc.option(fc.double({ min: 0, max: 5, noNaN: true }), { nil: null }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(some, { maxLength: 20 }), fc.nat(12), async (list, limit) => {
        const candidates = list.map(({ words, ...rest }, i) =>
          candidate(`c${i}`, { description: words.join(" "), ...rest }),
        );
        const advice = await recommendAdapters({ ...request, candidates, limit, minScore: 0 });
        expect(await recommendAdapters({ ...request, candidates, limit, minScore: 0 })).toEqual(advice);
        const { recommended, rejected } = advice;
        expect(recommended.length).toBe(Math.min(limit, 8, candidates.length));
        expect(recommended.length + rejected.length).toBe(candidates.length);
        for (const { parts } of recommended) {
          for (const part of Object.values(parts)) expect(part >= 0 && part <= 1 + 1e-6).toBe(true);
        }
        for (const [i, { score }] of recommended.slice(1).entries())
          expect(score).toBeLessThanOrEqual(recommended[i]!.score);
        expect(recommended.reduce((sum, { weight }) => sum + weight, 0)).toBeLessThanOrEqual(3 + 1e-9);
      }),
      { numRuns: 50, seed: 3 },
    );
  });

  test("refuses weights that mean nothing", async () => {
    const none = { semantic: 0, keyword: 0, popularity: 0, history: 0 };
    await expect(recommendAdapters({ ...request, weights: none })).rejects.toThrow(RangeError);
    await expect(recommendAdapters({ ...request, weights: { semantic: -1 } })).rejects.toThrow(/at least 0/);
    const onlyPopular = { semantic: 0, keyword: 0, popularity: 3, history: 0 };
    const { recommended } = await recommendAdapters({ ...request, weights: onlyPopular });
    expect(recommended[0]!.score).toBeCloseTo(recommended[0]!.parts.popularity, 12);
  });
});
