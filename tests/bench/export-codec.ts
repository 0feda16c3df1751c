import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { decodeModel, encodeModel } from "@seg/onnx";
import { peerPython } from "./peer-python.js";
import type { BenchResult } from "./result.js";

/** Folders that are searched for .onnx files. */
const ROOTS = (process.env["SEG_BENCH_ONNX"] ?? "experiments,packages,/tmp/peer/venv/lib").split(",");
const LARGEST = 200e6;

function* onnxFiles(folder: string): Generator<string> {
  let entries: import("node:fs").Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== "node_modules") yield* onnxFiles(path);
    else if (entry.name.endsWith(".onnx") && statSync(path).size <= LARGEST) yield path;
  }
}

/** Decodes and encodes every ONNX file at hand: how many come back byte for byte, and whether the others decode to the same model. */
export async function exportCodec({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const counts = { equal: 0, canonical: 0, different: 0, refused: 0 };
  const examples: Record<string, string[]> = { different: [], refused: [], canonical: [] };
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-codec-"));
  const pairs: string[] = [];
  for (const root of ROOTS) {
    for (const path of onnxFiles(root)) {
      const bytes = readFileSync(path);
      let kind: keyof typeof counts;
      try {
        const model = decodeModel(bytes);
        const encoded = encodeModel(model);
        if (Buffer.compare(bytes, encoded) === 0) kind = "equal";
        else {
          // Another order or packing of the same fields: what decodes from the new bytes is the same model, and encodes the same.
          const again = encodeModel(decodeModel(encoded));
          kind = Buffer.compare(encoded, again) === 0 ? "canonical" : "different";
          if (withPeer) {
            const copy = join(folder, `${pairs.length}.onnx`);
            writeFileSync(copy, encoded);
            pairs.push(`${path}\t${copy}`);
          }
        }
      } catch {
        kind = "refused";
      }
      counts[kind]++;
      if (kind !== "equal" && examples[kind]!.length < 3) examples[kind]!.push(path.split("/").slice(-2).join("/"));
    }
  }
  const results: BenchResult[] = Object.entries(counts).map(([kind, value]) => ({
    bench: "export-codec",
    case: kind,
    value,
    unit: "files",
    note: examples[kind]?.join(", ") ?? "",
  }));
  if (withPeer) {
    const script = join(import.meta.dirname, "export_codec_peer.py");
    const answer = execFileSync(peerPython(), [script], { encoding: "utf8", input: pairs.join("\n"), maxBuffer: 1e8 });
    const found = JSON.parse(answer) as { counts: Record<string, number>; examples: string[] };
    for (const [kind, value] of Object.entries(found.counts)) {
      const note = kind === "different" ? found.examples.join(", ") : "";
      results.push({
        bench: "export-codec",
        case: `not byte-equal, Python onnx: equal as ${kind}`,
        value,
        unit: "files",
        note,
      });
    }
  }
  rmSync(folder, { recursive: true });
  return results;
}
