import { basename, extname, join } from "node:path";
import { createDetector } from "@seg/export/runtime";
import { decodeImage } from "@seg/preprocess";
import type { OptionSpecs, OptionValues } from "../args.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import type { CommandContext } from "../main.js";
import type { Output } from "../output.js";
import { renderOverlay } from "../overlay/render-overlay.js";

export const predictOptions: OptionSpecs = {
  model: { type: "string", required: true, help: "exported model (.onnx)" },
  output: { type: "string", fallback: "predictions", help: "folder for overlays and predictions.json" },
  confidence: { type: "number", fallback: 0.25, help: "lowest score that is kept" },
  iou: { type: "number", fallback: 0.7, help: "overlap above which the weaker detection goes" },
  threads: { type: "number", fallback: 1, help: "threads of the runtime" },
};

/** Runs an exported model on pictures; writes an overlay for each and one JSON file. */
export async function predict(options: OptionValues, output: Output, { positional }: CommandContext): Promise<void> {
  if (positional.length === 0)
    throw new UsageError("seg predict needs at least one image: seg predict --model model_int8.onnx image.jpg");
  const directory = options["output"] as string;
  const detector = await createDetector({ model: options["model"] as string, threads: options["threads"] as number });
  const results: object[] = [];
  try {
    for (const file of positional) {
      const image = await decodeImage(file);
      const start = performance.now();
      const found = await detector.predict(image, {
        confidence: options["confidence"] as number,
        iou: options["iou"] as number,
      });
      const milliseconds = performance.now() - start;
      const instances = Array.from(found.scores, (score, i) => ({
        classId: found.classes[i]!,
        name: found.names[i]!,
        score,
        box: [found.boxes[4 * i]!, found.boxes[4 * i + 1]!, found.boxes[4 * i + 2]!, found.boxes[4 * i + 3]!] as const,
        ...(found.masks ? { mask: found.masks[i]! } : {}),
      }));
      const overlay = join(directory, `${basename(file, extname(file))}.png`);
      writeFileAtomic(overlay, await renderOverlay({ image, instances, format: "png" }));
      output.line(`${file}: ${instances.length} objects in ${milliseconds.toFixed(0)} ms -> ${overlay}`);
      for (const { name, score, box } of instances)
        output.line(`  ${name.padEnd(12)} ${score.toFixed(2)}  [${box.map((v) => v.toFixed(0)).join(", ")}]`);
      results.push({
        file,
        milliseconds,
        instances: instances.map(({ classId, name, score, box }) => ({ classId, name, score, box })),
      });
    }
  } finally {
    await detector.dispose();
  }
  writeJson(join(directory, "predictions.json"), results);
  output.result({ command: "predict", images: results });
}
