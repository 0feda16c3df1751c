import { expect, test } from "vitest";
import { bfloat16ToFloat32 } from "./bfloat16.js";

test("bfloat16ToFloat32 is the upper half of float32", () => {
  expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc049, 0x7f80))]).toEqual([
    1,
    -3.140625,
    Number.POSITIVE_INFINITY,
  ]);
});
