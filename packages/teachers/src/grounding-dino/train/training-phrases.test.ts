import { CounterRandom } from "@seg/augment";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { trainingPhrases } from "./training-phrases.js";

const random = (index = 0) => new CounterRandom({ seed: 0, path: "phrases", index });

describe("trainingPhrases", () => {
  test("few classes: all of them, shuffled by the numbers given", () => {
    const first = trainingPhrases({ classes: 6, present: [], random: random() });
    expect([...first].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(trainingPhrases({ classes: 6, present: [3], random: random() })).toEqual(first);
    const orders = new Set(
      [0, 1, 2, 3].map((i) => trainingPhrases({ classes: 6, present: [], random: random(i) }).join()),
    );
    expect(orders.size).toBeGreaterThan(2);
  });

  test("many classes: the image's own and sampled negatives, up to the limit", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120 }),
        fc.array(fc.nat(119), { maxLength: 70 }),
        fc.nat(1000),
        (classes, drawn, index) => {
          const present = drawn.map((i) => i % classes);
          const phrases = trainingPhrases({ classes, present, random: random(index) });
          const distinct = new Set(present);
          expect(new Set(phrases).size).toBe(phrases.length);
          expect([...distinct].every((i) => phrases.includes(i))).toBe(true);
          expect(phrases.length).toBe(classes <= 50 ? classes : Math.max(50, distinct.size));
        },
      ),
    );
  });
});
