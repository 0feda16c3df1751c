import { randomInt } from "node:crypto";

/** A number in [0, 1) for spreading retries over time; never part of a result. */
export const jitter = (): number => randomInt(2 ** 32) / 2 ** 32;
