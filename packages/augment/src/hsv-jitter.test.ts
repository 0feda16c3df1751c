import { describe, expect, test } from "vitest";
import { noise } from "../test/support.js";
import { applyHsvGains, hsvJitter } from "./hsv-jitter.js";
import { CounterRandom } from "./philox.js";

const one = (colour: readonly number[], gains: { hue?: number; saturation?: number; value?: number }) => [
  ...applyHsvGains(
    { width: 1, height: 1, data: Uint8Array.from(colour) },
    { hue: 1, saturation: 1, value: 1, ...gains },
  ).data,
];

describe("applyHsvGains", () => {
  test("multiplies value, saturation and hue", () => {
    expect(one([200, 100, 50], { value: 0.5 })).toEqual([100, 50, 25]);
    expect(one([200, 100, 50], { saturation: 0 })).toEqual([200, 200, 200]);
    // Yellow (60 degrees) times 2 is green (120 degrees).
    expect(one([255, 255, 0], { hue: 2 })).toEqual([0, 255, 0]);
    // Magenta (300 degrees) times 1.4 wraps to 60 degrees.
    expect(one([255, 0, 255], { hue: 1.4 })).toEqual([255, 255, 0]);
  });
  test("keeps gray gray, clips at white", () => {
    expect(one([100, 100, 100], { saturation: 1.7, hue: 1.2 })).toEqual([100, 100, 100]);
    expect(one([200, 200, 200], { value: 1.4 })).toEqual([255, 255, 255]);
    expect(one([0, 0, 0], { value: 1.4, saturation: 1.7 })).toEqual([0, 0, 0]);
  });
  test("gains of 1 change no value by more than a level", () => {
    const image = noise(200, 200);
    const out = applyHsvGains(image, { hue: 1, saturation: 1, value: 1 });
    let worst = 0;
    for (let i = 0; i < out.data.length; i++) worst = Math.max(worst, Math.abs(out.data[i]! - image.data[i]!));
    expect(worst).toBeLessThanOrEqual(1);
  });
});

describe("hsvJitter", () => {
  const image = noise(20, 20);
  const random = (index: number) => new CounterRandom({ seed: 1, path: "Hsv#0", index });
  test("same key same bytes, another key other bytes, input untouched", () => {
    const before = image.data.slice();
    const a = hsvJitter(image, { random: random(0) });
    expect(hsvJitter(image, { random: random(0) }).data).toEqual(a.data);
    expect(hsvJitter(image, { random: random(1) }).data).not.toEqual(a.data);
    expect(image.data).toEqual(before);
  });
  test("refuses ranges outside of [0, 1]", () => {
    expect(() => hsvJitter(image, { hue: 1.5, random: random(0) })).toThrowError(
      expect.objectContaining({ code: "invalid_option" }),
    );
  });
});
