import type { Kernels } from "./kernels.js";
import { HSV_TURN, hueTable, levelTable, mapHsv } from "./map-hsv.js";

/** {@link Kernels.hsvShift} with integer tables. */
export const hsvShift: Kernels["hsvShift"] = ({ data }, hue, saturation, value) => {
  // Half-degrees: 180 are one turn.
  const shift = Math.round((hue * HSV_TURN) / 180);
  mapHsv(data, data, {
    hue: hueTable((h) => h + shift),
    saturation: levelTable((s) => s + saturation),
    value: levelTable((v) => v + value),
  });
};
