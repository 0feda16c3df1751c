import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type DetectionTeacher, type FeatureMap, type FeatureTeacher, mapToCells } from "@seg/distill";
import { prepareGroundingDino } from "@seg/preprocess";
import { GroundingDinoTeacher, loadGroundingDinoProcessor } from "@seg/teachers";
import { groundingDinoRecordFile, loadAdaptedDetector } from "./detector-teacher.js";

/** A text-prompted detector as distillation knows it. */
export interface TextTeacher {
  readonly detector: DetectionTeacher;
  /** Its backbone. */
  readonly features: FeatureTeacher;
  /** Phrase of every class, in class order. */
  readonly phrases: readonly string[];
  /** Box mAP50 on the validation images of `train-teacher`; null where it was not measured. */
  readonly mAP50: number | null;
  dispose(): void;
}

/** What `train-teacher` measured after adaptation. */
function measured(experiment: string): number | null {
  const file = join(experiment, "teachers", "grounding_dino_metrics.json");
  if (!existsSync(file)) return null;
  const { after } = JSON.parse(readFileSync(file, "utf8")) as { after?: { mAP50?: number } | null };
  return after?.mAP50 ?? null;
}

/** The adapted Grounding DINO of an experiment behind the interface that distillation knows; null where none was trained. */
export function loadTextTeacher(experiment: string): TextTeacher | null {
  const loaded = loadAdaptedDetector(experiment);
  if (loaded === null) return null;
  const { model, base, record } = loaded;
  const teacher = new GroundingDinoTeacher({ model, processor: loadGroundingDinoProcessor(base) });
  const hash = createHash("sha256");
  const files = [join(base, "model.safetensors"), join(base, "preprocessor_config.json")];
  if (record.adapter !== null)
    files.push(join(dirname(groundingDinoRecordFile(experiment)), record.adapter, "adapter_model.safetensors"));
  for (const file of files) if (existsSync(file)) hash.update(readFileSync(file));
  const name = basename(record.base);
  const identity = { id: record.adapter === null ? name : `${name} + LoRA`, hash: hash.digest("hex") };
  return {
    phrases: record.phrases,
    mAP50: measured(experiment),
    dispose: () => teacher.dispose(),
    detector: {
      ...identity,
      async detect(image, classes) {
        const { boxes, logits } = await teacher.logits(image, { classes });
        return { boxes, logits };
      },
    },
    features: {
      ...identity,
      async features(image): Promise<FeatureMap[]> {
        const { geometry } = prepareGroundingDino(image, teacher.processor.size);
        const maps = await teacher.features(image);
        return maps.map(({ data, shape: [height, width, channels] }) => {
          const [across, down] = [geometry.netW / width, geometry.netH / height];
          const toMap = mapToCells(geometry, across, down);
          return { stride: Math.round(across), height, width, channels, data, toMap };
        });
      },
    },
  };
}
