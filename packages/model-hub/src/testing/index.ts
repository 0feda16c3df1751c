/** @module Doubles for tests of code that uses the hub: servers on loopback with faults, and a clock that moves when told to. */
export { ManualClock } from "./manual-clock.js";
