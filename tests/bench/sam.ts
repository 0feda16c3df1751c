import { Contestant, type Standing, takeTurns } from "./contestant.js";
import type { BenchResult } from "./result.js";

/** Frozen weights become constants of the graph with the fourth call. */
const WARM_UP = 4;
const ROUNDS = 2;

/**
 * CPU-milliseconds of SAM-B's image encoder (random full-size weights, one picture of 1024 px, float32, one thread), in turns with transformers on
 * PyTorch with both of its attention implementations.
 */
export async function sam({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const own = Contestant.node("sam-child.ts");
  const peers = new Map<string, Contestant>();
  try {
    // Theirs need one call to settle, ours four: no turn is spent on waiting for the other.
    for (let i = 0; i < WARM_UP; i++) await own.call();
    for (const attention of withPeer ? ["sdpa", "eager"] : []) {
      const peer = await Contestant.python("sam_peer.py", attention);
      if (peer === null) break;
      peers.set(attention, peer);
      await peer.call();
    }
    const standings: Record<string, Standing> = await takeTurns(
      { own, ...Object.fromEntries(peers) },
      { warmUp: 0, rounds: ROUNDS },
    );
    const { cpuMs, wallMs, spread, peakMB } = standings["own"]!;
    const note = `wall ${wallMs.toFixed(0)} ms, CPU ${spread.map((ms) => ms.toFixed(0)).join("-")} ms, peak ${peakMB.toFixed(0)} MB, 1 thread`;
    const base = { bench: "sam", value: cpuMs, unit: "CPU-ms" };
    const name = "SAM-B image encoder 1024 px, weights frozen";
    if (peers.size === 0) {
      return [
        { ...base, case: name, note: `${withPeer ? "peer not available (Python with transformers), " : ""}${note}` },
      ];
    }
    return [...peers.keys()].map((attention) => {
      const peer = standings[attention]!;
      return {
        ...base,
        case: name,
        peer: `transformers ${attention}`,
        peerValue: peer.cpuMs,
        ratio: cpuMs / peer.cpuMs,
        note: `${note}; peer CPU ${peer.spread.map((ms) => ms.toFixed(0)).join("-")} ms, peak ${peer.peakMB.toFixed(0)} MB`,
      };
    });
  } finally {
    own.close();
    for (const peer of peers.values()) peer.close();
  }
}
