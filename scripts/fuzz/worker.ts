// One process of a fuzz run, so that a crash or an endless loop does not take the reporter with it: NAME SEED FIRST RUNS.
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { FuzzRandom } from "./fuzzer.js";
import { fuzzers } from "./fuzzers.js";

const [name = "", ...numbers] = process.argv.slice(2);
const [seed = 0, first = 0, runs = 0] = numbers.map(Number);
const fuzzer = fuzzers[name]!;
const counts = { accepted: 0, refused: 0 };
for (let run = first; run < first + runs; run++) {
  process.send!({ run });
  try {
    counts[await fuzzer(new FuzzRandom(seed, run))]++;
  } catch (error) {
    process.send!({ run, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
  // Lets messages leave.
  if (run % 50 === 0) await setImmediate();
}
process.send!({ counts });
