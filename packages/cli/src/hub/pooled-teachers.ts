import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { LoadedModel, ModelLoader, ModelPool } from "@seg/model-hub";
import type { Module } from "@seg/nn";
import {
  GroundedSam,
  GroundingDinoTeacher,
  loadGroundingDinoProcessor,
  parseSamConfig,
  pretrainedSamDirectory,
  type Sam,
  type SamConfig,
  type TextDetector,
} from "@seg/teachers";
import { startEngine } from "../engine.js";
import { groundingDinoRecordFile, loadAdaptedDetector, readGroundingDinoRecord } from "../teacher/detector-teacher.js";
import { loadAdaptedSam, readSamRecord, samRecordFile } from "../teacher/mask-teacher.js";

/**
 * What a run of SAM needs beyond its weights, in units of one attention map over the whole image (heads x tokens^2 x 4 bytes): fits the published
 * memory of SAM B, L and H (2.93, 3.77, 3.90 GB without weights) within 4 %.
 */
const SAM_MAPS = 3.6;
/** Of Grounding DINO, in units of its weights: some 2 GB for the tiny one at 800 x 1333. A rule of thumb; no figure was published. */
const DINO_ACTIVATIONS = 3;

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

/** Bytes of the parameters as they lie in memory: float32, whatever the file holds. */
const bytesOf = (model: Module): number =>
  [...model.namedParameters().values()].reduce((sum, { variable }) => sum + 4 * variable.size, 0);

/** One map of global attention in the image encoder. */
const attentionMapBytes = ({ vision }: SamConfig): number =>
  4 * vision.numAttentionHeads * (vision.imageSize / vision.patchSize) ** 4;

/** The teachers of a version as {@link GroundedSam}, each lent by a pool while it works. */
export interface PooledTeachers {
  readonly teacher: GroundedSam;
  /** In the order of the classes. */
  readonly names: readonly string[];
}

/**
 * Words to boxes to masks with the teachers of `folder/teachers`, loaded by the pool when they are needed: Grounding DINO is given back before
 * SAM is asked for, so both never need room at once.
 *
 * @param folder - an experiment, or a version that the hub's trainer `teacher` made
 * @param key - name in the pool; `/grounding-dino` and `/sam` are appended
 * @returns null unless both teachers are there
 */
export function pooledTeachers({
  pool,
  key,
  folder,
  threads,
}: {
  pool: ModelPool;
  key: string;
  folder: string;
  threads?: number | undefined;
}): PooledTeachers | null {
  if (![groundingDinoRecordFile(folder), samRecordFile(folder)].every((file) => existsSync(file))) return null;
  const sam = readSamRecord(folder)!;
  const dino = readGroundingDinoRecord(folder)!;
  const config = parseSamConfig(JSON.parse(readFileSync(join(sam.base, "config.json"), "utf8")));
  const loader = <Model extends { dispose(): void }>(
    base: string,
    activationBytes: (weightBytes: number) => number,
    load: () => Promise<{ model: Model; weightBytes: number }>,
  ): ModelLoader<Model> => {
    const fileBytes = sizeOf(join(base, "model.safetensors"));
    return {
      weightBytes: fileBytes,
      activationBytes: activationBytes(fileBytes),
      async load(): Promise<LoadedModel<Model>> {
        await startEngine({ threads });
        const { model, weightBytes } = await load();
        return { model, bytes: weightBytes + activationBytes(weightBytes), dispose: () => model.dispose() };
      },
    };
  };
  const detectors = loader(
    dino.base,
    (weightBytes) => DINO_ACTIVATIONS * weightBytes,
    async () => {
      const { model, base } = loadAdaptedDetector(folder)!;
      const teacher = new GroundingDinoTeacher({ model, processor: loadGroundingDinoProcessor(base) });
      return { model: teacher, weightBytes: bytesOf(model) };
    },
  );
  const sams = loader(
    sam.base,
    () => SAM_MAPS * attentionMapBytes(config),
    async () => {
      const { sam } = (await loadAdaptedSam(folder))!;
      return { model: sam, weightBytes: bytesOf(sam) };
    },
  );
  const detector: TextDetector = {
    async logits(image, options) {
      await using lease = await pool.acquire(`${key}/grounding-dino`, detectors);
      return await lease.model.logits(image, options);
    },
    async features(image) {
      await using lease = await pool.acquire(`${key}/grounding-dino`, detectors);
      return await lease.model.features(image);
    },
    // The pool's.
    dispose() {},
  };
  const teacher = new GroundedSam({
    detector,
    sam: {
      config,
      async use<Result>(work: (sam: Sam) => Promise<Result>): Promise<Result> {
        await using lease = await pool.acquire(`${key}/sam`, sams);
        return await work(lease.model);
      },
    },
    // The embedded SAM learnt its single mask only.
    multimask: sam.base !== pretrainedSamDirectory(),
    zoom: sam.record.zoom ?? null,
  });
  return { teacher, names: dino.record.phrases };
}
