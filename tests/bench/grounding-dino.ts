import { Contestant, type Standing, takeTurns } from "./contestant.js";
import type { BenchResult } from "./result.js";

/** Frozen weights become constants of the graph with the fourth call. */
const WARM_UP = 4;
const ROUNDS = 2;

/**
 * CPU-milliseconds of one forward pass of Grounding DINO-T (random full-size weights, one picture of 800 x 1066 px, a caption of 12 tokens,
 * float32, one thread), in turns with transformers on PyTorch.
 */
export async function groundingDino({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const own = Contestant.node("grounding-dino-child.ts");
  let peer: Contestant | null = null;
  try {
    for (let i = 0; i < WARM_UP; i++) await own.call();
    // Its published implementation of both kinds of attention; the Swin blocks are most of what the choice touches.
    peer = withPeer ? await Contestant.python("grounding_dino_peer.py", "eager") : null;
    await peer?.call();
    const contestants: Record<string, Contestant> = { own, ...(peer && { peer }) };
    const standings: Record<string, Standing> = await takeTurns(contestants, { warmUp: 0, rounds: ROUNDS });
    const { cpuMs, wallMs, spread, peakMB } = standings["own"]!;
    const note = `wall ${wallMs.toFixed(0)} ms, CPU ${spread.map((ms) => ms.toFixed(0)).join("-")} ms, peak ${peakMB.toFixed(0)} MB, 1 thread`;
    const base = {
      bench: "grounding-dino",
      case: "Grounding DINO-T 800x1066, weights frozen",
      value: cpuMs,
      unit: "CPU-ms",
    };
    const theirs = standings["peer"];
    if (!theirs) {
      return [{ ...base, note: `${withPeer ? "peer not available (Python with transformers), " : ""}${note}` }];
    }
    return [
      {
        ...base,
        peer: "transformers",
        peerValue: theirs.cpuMs,
        ratio: cpuMs / theirs.cpuMs,
        note: `${note}; peer CPU ${theirs.spread.map((ms) => ms.toFixed(0)).join("-")} ms, peak ${theirs.peakMB.toFixed(0)} MB`,
      },
    ];
  } finally {
    own.close();
    peer?.close();
  }
}
