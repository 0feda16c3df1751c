import type { Placement } from "./geometry.js";

/** Sets what lies around the content of a planar [3, netH, netW] input to one value; the content itself is not touched. */
export function fillBorder({
  out,
  geometry: { netW, netH, padL, padT, padR, padB },
  value,
}: {
  out: Float32Array | Uint8Array;
  geometry: Placement;
  value: number;
}): void {
  const plane = netW * netH;
  for (let c = 0; c < 3; c++) {
    const from = c * plane;
    out.fill(value, from, from + padT * netW);
    out.fill(value, from + plane - padB * netW, from + plane);
    if (padL === 0 && padR === 0) continue;
    for (let y = padT; y < netH - padB; y++) {
      const row = from + y * netW;
      out.fill(value, row, row + padL);
      out.fill(value, row + netW - padR, row + netW);
    }
  }
}
