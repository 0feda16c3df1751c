import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StateDictError } from "./errors.js";
import { KeyMap } from "./key-map.js";
import type { StateTensor } from "./module.js";
import { toTensorSource } from "./weights/tensor-source.js";

const f32 = (shape: number[], ...values: number[]): StateTensor => ({
  dtype: "F32",
  shape,
  data: Float32Array.from(values),
});

describe("KeyMap", () => {
  const map = new KeyMap([
    { match: /^module\./, rename: "" },
    { match: /pixel_mean$/, drop: true },
    { match: /\.qkv\./, split: [".q.", ".k.", ".v."] },
    { match: /^pe$/, copy: "pe_again" },
    { match: /^never$/, drop: true },
  ]);

  test("applies rules in order, cuts along axis 0, copies, and reports", () => {
    const source = new Map([
      ["module.pixel_mean", f32([1], 9)],
      ["module.a.qkv.weight", f32([3, 2], 1, 2, 3, 4, 5, 6)],
      ["pe", f32([1], 7)],
    ]);
    const mapped = map.apply(toTensorSource(source));
    expect(mapped.names()).toEqual(["a.q.weight", "a.k.weight", "a.v.weight", "pe", "pe_again"]);
    expect(mapped.info("a.k.weight").shape).toEqual([1, 2]);
    expect([...mapped.tensor("a.k.weight").data]).toEqual([3, 4]);
    expect([...mapped.tensor("pe_again").data]).toEqual([7]);
    expect(mapped.report).toMatchObject({
      dropped: ["module.pixel_mean"],
      changed: ["module.a.qkv.weight", "pe"],
      leftover: [],
      unused: [map.rules[4]],
    });
  });

  test("refuses two sources of one key, uneven parts, and leftover keys", () => {
    expect(() => map.plan(["module.a", "a"])).toThrow(/a comes from both module.a and a/);
    expect(() => map.apply(toTensorSource(new Map([["x.qkv.b", f32([4], 1, 2, 3, 4)]])))).toThrow(/3 equal parts/);
    const closed = new KeyMap([], { targets: [/^known\./] });
    const apply = () => closed.apply(toTensorSource(new Map([["other", f32([1], 1)]])));
    expect(apply).toThrow(StateDictError);
    expect(apply).toThrow(/1 unexpected \(other\)/);
  });

  test("property: a rename and its inverse give the names back", () => {
    const there = new KeyMap([{ match: /(^|\.)norm(\d)/g, rename: "$1layer_norm$2" }]);
    const back = new KeyMap([{ match: /(^|\.)layer_norm(\d)/g, rename: "$1norm$2" }]);
    const part = fc.constantFrom("norm1", "norm2", "blocks", "3", "attn");
    fc.assert(
      fc.property(fc.uniqueArray(fc.array(part, { minLength: 1 }).map((p) => p.join("."))), (keys) => {
        expect([...back.plan(there.plan(keys).origins.keys()).origins.keys()]).toEqual(keys);
      }),
    );
  });
});
