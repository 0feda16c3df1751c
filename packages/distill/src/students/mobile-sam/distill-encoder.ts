import { CounterRandom } from "@seg/augment";
import { type StateDict, writeSafetensors } from "@seg/nn";
import type { SamConfig } from "@seg/teachers";
import {
  adamw,
  type FitResult,
  fit,
  paramGroups,
  RunDirectory,
  schedule,
  type TrainEvent,
  TrainingManager,
} from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { datasetHash } from "../../class-mapping-hash.js";
import { ConfigError } from "../../errors.js";
import { loadEvaluationSet } from "../../evaluate-student.js";
import { warpFeatures } from "../../feature-targets.js";
import { cachedImages, featureQuestion } from "../../teacher/feature-question.js";
import { type CacheProgress, TeacherCache } from "../../teacher/teacher-cache.js";
import type { FeatureRecord } from "../../teacher/teacher-record.js";
import type { FeatureTeacher } from "../../teacher/teachers.js";
import type { StudentData } from "../../train-config.js";
import { loadWeights } from "../weights/load-weights.js";
import { embeddingLoss } from "./embedding-loss.js";
import { MobileSamNet, mobileSamConfig } from "./network.js";

/** Pixels per cell of SAM's embeddings. */
const STRIDE = 16;
/** What of the network reads embeddings, and stays as it is. */
const DECODER = /^(prompt_encoder|mask_decoder|shared_image_embedding)\./;

/** Configuration of {@link distillEncoder}. */
export interface DistillEncoderConfig {
  /** Pictures; annotations are not looked at. */
  readonly data: StudentData;
  /** The larger SAM, see `samEmbeddings`: one map of stride 16 with as many channels as the student's embedding. */
  readonly teacher: FeatureTeacher;
  /** Initial values with the teacher's prompt encoder and mask decoder in them: `stateDict(sam)`, or the weights of a MobileSAM, whose encoder then goes on from where it is. */
  readonly weights: string | StateDict;
  /** Of the teacher's embeddings. */
  readonly cacheDir: string;
  /** Run directory. */
  readonly directory: string;
  /** Input side, pixels, a multiple of 32. @defaultValue 1024 */
  readonly imgsz?: number;
  /** Size of the network; its `imageSize` is `imgsz`. @defaultValue MobileSAM's */
  readonly config?: SamConfig;
  /** @defaultValue 8 */
  readonly epochs?: number;
  /** Images per step; at most the number of images. @defaultValue 8 */
  readonly batch?: number;
  /** Of initial values and order. @defaultValue 0 */
  readonly seed?: number;
  /** Form of {@link embeddingLoss}. @defaultValue "mse" */
  readonly form?: "mse" | "huber";
  /** Falls to 1e-5 along a cosine. @defaultValue 1e-3 */
  readonly lr?: number;
  /** @defaultValue 5e-4 */
  readonly weightDecay?: number;
  /** Goes on from the newest checkpoint of `directory`. @defaultValue false */
  readonly resume?: boolean;
  /** @defaultValue "error" */
  readonly onBadImage?: "error" | "skip";
  readonly onProgress?: (progress: CacheProgress) => void;
}

/**
 * Stage 1 of MobileSAM (Zhang et al., "Faster Segment Anything", 2023): its image encoder learns to repeat the embeddings of a larger SAM, whose decoder it then uses as it is. Prompt
 * encoder, mask decoder and detector are not trained. Ends with `weights/encoder.safetensors`, the `weights` of `trainStudent` for stage 2.
 *
 * The student sees pictures as it will later (centred letterbox); the teacher's cells are looked up where the student's lie, cells on the border count nothing.
 *
 * @returns the events of `fit`; the loss is `embedding`
 * @throws ConfigError when the teacher's embeddings have other channels or the weights lack the decoder; EmptySplitError, BadImageError and the errors of `fit`
 * @example
 * const weights = stateDict(sam);
 * for await (const event of distillEncoder({ data, teacher: samEmbeddings({ sam, id, hash }), weights, cacheDir, directory: "runs/encoder" })) show(event);
 * trainStudent({ student: "mobilesam", weights: "runs/encoder/weights/encoder.safetensors", ...rest });
 */
export async function* distillEncoder(
  {
    data,
    teacher,
    weights,
    cacheDir,
    directory,
    imgsz = 1024,
    config = mobileSamConfig(imgsz),
    epochs = 8,
    batch: wantedBatch = 8,
    seed = 0,
    form = "mse",
    lr = 1e-3,
    weightDecay = 5e-4,
    resume = false,
    onBadImage = "error",
    onProgress,
  }: DistillEncoderConfig,
  { signal, now }: { signal?: AbortSignal; now?: () => number } = {},
): AsyncGenerator<TrainEvent, FitResult, undefined> {
  const abort = signal ? { signal } : {};
  const { images } = await loadEvaluationSet({ ...data, imgsz, onBadImage, split: "training", ...abort });
  const cache = new TeacherCache({ dir: cacheDir, teachers: { features: teacher } });
  const keys = await cache.answer(featureQuestion(teacher, cachedImages(data)), {
    onBadImage,
    ...(onProgress ? { onProgress } : {}),
    ...abort,
  });
  const embeddingOf = (imageId: number) => {
    const { maps, width, height } = cache.read(keys.get(imageId)!) as FeatureRecord;
    return { map: maps.find(({ stride }) => stride === STRIDE), imageSize: [width, height] as const };
  };
  const channels = config.vision.outputChannels;
  const found = embeddingOf(images[0]!.imageId).map?.channels;
  if (found !== channels) {
    const expected = `embeddings of stride ${STRIDE} with ${channels} channels, as the student's decoder reads them`;
    throw new ConfigError({ field: "teacher", expected, actual: found ?? "none" });
  }

  const net = new MobileSamNet(config, { classes: 1, regMax: 16, momentum: 0.03, seed });
  try {
    const missing = loadWeights({ net }, weights).skipped.filter((key) => DECODER.test(key));
    if (missing.length > 0) {
      const expected = "the prompt encoder and mask decoder of the teacher";
      throw new ConfigError({ field: "weights", expected, actual: `no ${missing.slice(0, 3).join(", ")}` });
    }
    for (const [name, parameter] of net.namedParameters())
      parameter.requiresGrad = parameter.requiresGrad && name.startsWith("vision_encoder.");

    const batch = Math.min(wantedBatch, images.length);
    const stepsPerEpoch = Math.ceil(images.length / batch);
    const cells = imgsz / STRIDE;
    const orderOf = (epoch: number) =>
      new CounterRandom({ seed, path: "encoder", epoch }).permutation(images.length) as Uint32Array;
    // One function for all batches: a compiled step belongs to its function.
    const loss = ({ images: pixels, teacher: embeddings, valid }: Readonly<Record<string, tf.Tensor>>) => {
      const embedding = embeddingLoss({
        student: net.embed(pixels as tf.Tensor4D),
        teacher: embeddings as tf.Tensor4D,
        valid: valid as tf.Tensor3D,
        form,
      });
      return { total: embedding, parts: { embedding } };
    };
    const run = resume ? new RunDirectory(directory) : RunDirectory.create(directory);
    const events = fit(
      {
        model: net,
        stepsPerEpoch,
        imagesPerStep: batch,
        batch(epoch, step) {
          const order = orderOf(epoch - 1);
          const pixels = new Float32Array(batch * imgsz * imgsz * 3);
          const embeddings = new Float32Array(batch * cells * cells * channels);
          const valid = new Float32Array(batch * cells * cells);
          const ids: string[] = [];
          for (let b = 0; b < batch; b++) {
            // The last batch is filled up from the beginning of the order.
            const { imageId, data: rgb, geometry } = images[order[(step * batch + b) % images.length]!]!;
            const { scaleX, scaleY, padL, padT } = geometry;
            const { map, imageSize } = embeddingOf(imageId);
            const warped = warpFeatures({
              feature: map!,
              map: { backward: (x, y) => [(x - padL) / scaleX, (y - padT) / scaleY] },
              ...{ imageSize, cells, stride: STRIDE },
            });
            for (let i = 0; i < rgb.length; i++) pixels[b * rgb.length + i] = rgb[i]! / 255;
            embeddings.set(warped.values, b * warped.values.length);
            valid.set(warped.valid, b * warped.valid.length);
            ids.push(String(imageId));
          }
          const inputs = {
            images: tf.tensor4d(pixels, [batch, imgsz, imgsz, 3]),
            teacher: tf.tensor4d(embeddings, [batch, cells, cells, channels]),
            valid: tf.tensor3d(valid, [batch, cells, cells]),
          };
          return { ids, loss, inputs, dispose: () => tf.dispose(Object.values(inputs)) };
        },
        identity: {
          ...{ student: "mobilesam encoder", imgsz, batch, seed, form },
          teacher: teacher.hash,
          dataset: datasetHash(data.dataset),
        },
      },
      {
        ...{ epochs, directory: run, resume },
        training: new TrainingManager({
          ...{ model: net, optimizer: adamw({ weightDecay }), groups: paramGroups(net), lr },
          schedule: schedule({ kind: "cosine", epochs, stepsPerEpoch, baseLr: lr, per: "step" }),
          clip: { maxNorm: 10 },
        }),
        args: { imgsz, epochs, batch, seed, form, lr, weight_decay: weightDecay, teacher: teacher.id },
      },
      { ...abort, ...(now ? { now } : {}) },
    );
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      if (next.value.type === "end") {
        const kept = [...next.value.result.state].filter(([key]) => !key.startsWith("det."));
        writeSafetensors(run.file("weights", "encoder.safetensors"), new Map(kept));
      }
      yield next.value;
    }
  } finally {
    net.dispose();
  }
}
