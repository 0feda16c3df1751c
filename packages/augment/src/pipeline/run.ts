import type { Box } from "@seg/coco-dataset";
import { mosaicIsOpen } from "../augment-sample.js";
import { bitmapFromPolygons, eraseRects } from "../core/bitmap.js";
import { canonicalJson } from "../core/hash.js";
import { compose, type Homography, IDENTITY3, project } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";
import { type AnyTransform, f, type ImageContext, type SampleContext } from "../core/transform.js";
import { AsyncBackendError, MissingDonorError } from "../errors.js";
import type { Kernels } from "../kernels/kernels.js";
import type { WorkImage } from "../kernels/work-image.js";
import { CounterRandom } from "../philox.js";
import type { MixPlanStep, Params, Plan, PlanStep } from "../plan/plan.js";
import { findTransform } from "../plan/transform-registry.js";
import { type Intake, intake } from "./intake.js";
import { extendSources, keyedRandom, layerSources, mixSources } from "./placed-sources.js";
import { boxArea, extentOf, type InstanceRecord, shapeArea, shapeBounds } from "./record.js";
import { type Layer, renderScene, type Scene } from "./scene.js";
import type {
  AppliedStep,
  DonorInstance,
  DonorSource,
  PipelineSample,
  PlacedMap,
  PlacedSource,
  ReplayRecord,
} from "./types.js";

/** Level around the tiles of a mosaic. */
const MOSAIC_FILL = 114;
/** Tries to find a mixup donor with instances. */
const MIXUP_TRIES = 15;
/** A pasted instance may cover at most this share of any box. */
const PASTE_IOA = 0.3;
/** Beta(32, 32) is the 32nd smallest of 63 uniforms. */
const MIXUP_BETA = 32;

/** Promises that the synchronous driver refuses. */
export type Run<T> = Generator<{ readonly promise: Promise<unknown>; readonly path: string }, T, unknown>;

export interface RunState {
  readonly image: WorkImage;
  readonly records: InstanceRecord[];
  readonly points: Float64Array | null;
  readonly trace: AppliedStep[];
  readonly applied: ReplayRecord["applied"][number][];
  readonly input: Intake;
  readonly isMixed: boolean;
  readonly hasWeights: boolean;
  readonly canvas: { readonly width: number; readonly height: number };
  readonly sources: PlacedSource[];
}

/** A gate that is open, with the parameters of a replay where there are any. */
type Forced = ReadonlyMap<string, Params> | null;

export class Runner {
  readonly #plan: Plan;
  readonly #kernels: Kernels;
  readonly #seed: number;
  readonly #epoch: number;
  readonly #index: number;
  readonly #donors: DonorSource | null;
  readonly #forced: Forced;
  /** Path prefix of everything that is drawn: empty for the sample itself. */
  readonly #prefix: string;

  constructor(options: {
    plan: Plan;
    kernels: Kernels;
    seed: number;
    epoch: number;
    index: number;
    donors: DonorSource | null;
    forced: Forced;
    prefix?: string;
  }) {
    this.#plan = options.plan;
    this.#kernels = options.kernels;
    this.#seed = options.seed;
    this.#epoch = options.epoch;
    this.#index = options.index;
    this.#donors = options.donors;
    this.#forced = options.forced;
    this.#prefix = options.prefix ?? "";
  }

  #stream(path: string): CounterRandom {
    return new CounterRandom({
      seed: this.#seed,
      path: this.#prefix + path,
      epoch: this.#epoch,
      index: this.#index,
    });
  }

  /** Waits for what may be a promise. */
  *#await<T>(value: T | Promise<T>, path: string): Run<T> {
    return value instanceof Promise ? ((yield { promise: value, path }) as T) : value;
  }

  /** Runs the whole plan over one sample. */
  *run(sample: PipelineSample): Run<RunState> {
    const plan = this.#plan;
    const input = intake(sample, plan.instances, { hasPixels: this.#kernels.name !== "none" });
    const canvas = plan.canvas ?? { width: input.image.width, height: input.image.height };
    const session = new Session({
      plan,
      kernels: this.#kernels,
      canvas,
      input,
      scene: {
        layers: [sceneLayer(input, canvas)],
        pending: IDENTITY3,
        flips: 0,
        points: input.points,
      },
    });
    for (const step of plan.steps) {
      if (step.kind === "mix") yield* this.#mix(step, session);
      else yield* this.#step(step, session);
    }
    return session.finish();
  }

  /** Draws the gate and the parameters of a step, and applies it. */
  *#step(step: Exclude<PlanStep, MixPlanStep>, session: Session): Run<void> {
    let chosen: { path: string; type: string; params: Params };
    if (step.kind === "one") {
      chosen = step;
    } else {
      const gate = this.#stream(step.path);
      const isOpen = gate.uniform() < step.p;
      const at = gate.uniform();
      if (this.#forced === null) {
        if (!isOpen) return;
        const sum = step.members.reduce((total, { weight }) => total + weight, 0);
        let left = at * sum;
        let member = step.members.at(-1)!;
        for (const candidate of step.members) {
          if (left < candidate.weight) {
            member = candidate;
            break;
          }
          left -= candidate.weight;
        }
        chosen = member;
      } else {
        const member = step.members.find(({ path }) => this.#forced!.has(path));
        if (member === undefined) return;
        chosen = member;
      }
    }
    const { path, type, params } = chosen;
    const random = this.#stream(path);
    // Draw 0 is the gate, consumed whatever it decides.
    const gate = random.uniform();
    const recorded = this.#forced?.get(path);
    if (this.#forced !== null ? recorded === undefined : step.kind === "one" && !(gate < step.p)) return;
    const transform = findTransform(type, path);
    if (step.kind === "one" && step.requires === "masks" && !session.hasMasks()) {
      session.skip(path, type, "needs masks, the sample has none");
      return;
    }
    // The record leaves out what the plan says anyway.
    const restored = recorded === undefined ? null : { ...params, ...recorded };
    yield* session.apply({ path, type, transform, random, params, recorded: restored });
  }

  *#donorSamples(path: string, n: number, session: Session, type: string): Run<readonly PipelineSample[]> {
    if (this.#donors === null) {
      this.#missing(path, "no donors were given", session, type);
      return [];
    }
    return yield* this.#await(this.#donors.get(this.#stream(`${path}/donor`), n), path);
  }

  #missing(path: string, why: string, session: Session, type: string): void {
    if (this.#plan.strict) {
      throw new MissingDonorError({
        path,
        message: `${path} needs other samples, but ${why}. Pass donors with the key, or set strict: false to leave mixing out.`,
      });
    }
    session.skip(path, type, why);
  }

  *#mix(step: MixPlanStep, session: Session): Run<void> {
    const { path, type, p, params } = step;
    const random = this.#stream(path);
    const gate = random.uniform();
    const recorded = this.#forced?.get(path);
    if (this.#forced !== null ? recorded === undefined : !(gate < p)) return;
    if (type === "mosaic") {
      const { epochs, closeMosaic } = params;
      if (epochs !== null && !mosaicIsOpen({ epoch: this.#epoch, epochs, closeMosaic })) {
        session.skip(path, type, `closed in the last epochs (${this.#epoch} of ${epochs})`);
        return;
      }
      const donors = yield* this.#donorSamples(path, 3, session, type);
      if (donors.length === 0) {
        if (this.#donors !== null) this.#missing(path, "the source gave none", session, type);
        return;
      }
      const { width, height } = session.canvas;
      const centre = (recorded as { x: number; y: number } | undefined) ?? {
        x: Math.floor(random.uniform(0.5, 1.5) * width),
        y: Math.floor(random.uniform(0.5, 1.5) * height),
      };
      session.mosaic(path, donors, centre);
    } else if (type === "copy_paste") {
      yield* this.#copyPaste(step, session, random);
    } else {
      yield* this.#mixup(step, session, random, recorded);
    }
  }

  *#copyPaste({ path, type, params }: MixPlanStep, session: Session, random: CounterRandom): Run<void> {
    if (!session.hasMasks()) {
      session.skip(path, type, "requires-masks");
      return;
    }
    const count = random.integer(params.pastes[0], params.pastes[1]);
    let instances: readonly DonorInstance[] = [];
    if (this.#donors?.getInstances !== undefined) {
      const found = this.#donors.getInstances(this.#stream(`${path}/donor`), count);
      instances = yield* this.#await(found, path);
    } else {
      const samples = yield* this.#donorSamples(path, 2, session, type);
      if (this.#donors === null) return;
      instances = balancedInstances(samples, this.#stream(`${path}/instances`), count);
    }
    if (instances.length === 0) {
      this.#missing(path, "no donor has an instance with a mask", session, type);
      return;
    }
    session.copyPaste(path, instances.slice(0, 100), random, params);
  }

  *#mixup(step: MixPlanStep, session: Session, random: CounterRandom, recorded: Params | undefined): Run<void> {
    const { path, type, params } = step;
    const uniforms = Array.from({ length: 2 * MIXUP_BETA - 1 }, () => random.uniform()).sort((a, b) => a - b);
    const ratio = (recorded as { ratio: number } | undefined)?.ratio ?? f(uniforms[MIXUP_BETA - 1]!);
    if (this.#donors === null) {
      this.#missing(path, "no donors were given", session, type);
      return;
    }
    let donor: PipelineSample | null = null;
    for (let attempt = 0; attempt < MIXUP_TRIES; attempt++) {
      const stream = this.#stream(`${path}/donor${attempt === 0 ? "" : attempt}`);
      const [candidate] = (yield* this.#await(this.#donors.get(stream, 1), path)) as readonly PipelineSample[];
      if (candidate === undefined) break;
      donor = candidate;
      if ((candidate.bboxes?.length ?? candidate.masks?.length ?? 0) > 0) break;
    }
    if (donor === null) {
      this.#missing(path, "the source gave none", session, type);
      return;
    }
    // The donor goes through the same geometry, drawn under its own path; photometry of the mixed picture is the sample's.
    const geometric = this.#plan.steps.filter(
      (s) =>
        (s.kind === "one" && isSpatial(s.type)) || (s.kind === "oneOf" && s.members.every((m) => isSpatial(m.type))),
    );
    const runner = new Runner({
      plan: { ...this.#plan, canvas: session.canvas, steps: geometric },
      kernels: this.#kernels,
      seed: this.#seed,
      epoch: this.#epoch,
      index: this.#index,
      donors: null,
      forced: null,
      prefix: `${this.#prefix}${path}/`,
    });
    const other = yield* runner.run(donor);
    session.mixup(path, other, ratio, params.weighted);
  }
}

const isSpatial = (type: string): boolean => {
  const { kind } = findTransform(type, type);
  return kind === "geometric" || kind === "field";
};

/** Letterbox onto the canvas: one scale, centred, the odd pixel right and below. */
function letterbox(
  image: { readonly width: number; readonly height: number },
  canvas: { readonly width: number; readonly height: number },
): Homography {
  const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
  const x = Math.floor((canvas.width - scale * image.width) / 2);
  const y = Math.floor((canvas.height - scale * image.height) / 2);
  return [scale, 0, x, 0, scale, y, 0, 0, 1];
}

function sceneLayer(input: Intake, canvas: { readonly width: number; readonly height: number }): Layer {
  return {
    image: input.image,
    place: letterbox(input.image, canvas),
    clip: [0, 0, input.image.width, input.image.height],
    records: input.records,
    isPaste: false,
    seamSigma: 0,
    from: { path: "", source: input.source, instance: null },
  };
}

/** Classes equally likely, then an instance of the class. */
function balancedInstances(samples: readonly PipelineSample[], random: CounterRandom, n: number): DonorInstance[] {
  const byClass = new Map<string, DonorInstance[]>();
  for (const sample of samples) {
    sample.masks?.forEach((_, index) => {
      if (sample.iscrowd?.[index]) return;
      const key = JSON.stringify(sample.labels?.[index] ?? null);
      byClass.set(key, [...(byClass.get(key) ?? []), { sample, index }]);
    });
  }
  const classes = [...byClass.values()];
  if (classes.length === 0) return [];
  return Array.from({ length: n }, () => {
    const members = classes[random.integer(0, classes.length - 1)]!;
    return members[random.integer(0, members.length - 1)]!;
  });
}

/** Applies steps to one sample; neighbouring geometry and neighbouring tone curves wait until something needs the pixels. */
class Session {
  readonly canvas: { readonly width: number; readonly height: number };
  readonly #plan: Plan;
  readonly #kernels: Kernels;
  readonly #input: Intake;
  readonly #trace: AppliedStep[] = [];
  readonly #applied: ReplayRecord["applied"][number][] = [];
  #scene: Scene | null;
  #image: WorkImage | null = null;
  #records: InstanceRecord[] = [];
  #points: Float64Array | null = null;
  #sources: readonly PlacedSource[] = [];
  #curves: ((x: number) => number)[] = [];
  #isMosaic = false;
  #isMixed = false;
  #hasWeights = false;

  constructor(options: {
    plan: Plan;
    kernels: Kernels;
    canvas: { readonly width: number; readonly height: number };
    input: Intake;
    scene: Scene;
  }) {
    this.#plan = options.plan;
    this.#kernels = options.kernels;
    this.canvas = options.canvas;
    this.#input = options.input;
    this.#scene = options.scene;
  }

  get #hasPixels(): boolean {
    return this.#kernels.name !== "none";
  }

  hasMasks(): boolean {
    return this.#allRecords().some(({ shape }) => shape !== null);
  }

  #allRecords(): readonly InstanceRecord[] {
    return this.#scene === null ? this.#records : this.#scene.layers.flatMap(({ records }) => records);
  }

  skip(path: string, type: string, note: string): void {
    this.#trace.push({ path, type, params: null, fused: false, notes: [note] });
  }

  #record(
    path: string,
    type: string,
    sampled: Params,
    fused: boolean,
    notes: readonly string[],
    params: Params = {},
  ): void {
    this.#trace.push({ path, type, params: sampled, fused, ...(notes.length === 0 ? {} : { notes }) });
    const drawn = Object.entries(sampled).filter(([key, value]) => canonicalJson(value) !== canonicalJson(params[key]));
    this.#applied.push({ path, type, params: Object.fromEntries(drawn) });
  }

  /** Boxes of the instances, pending maps included. */
  #extents(): Box[] {
    if (this.#scene === null) {
      return this.#records.map(extentOf).filter((box): box is Box => box !== null);
    }
    const { layers, pending } = this.#scene;
    return layers.flatMap((layer): Box[] => {
      const map = compose(layer.place, pending);
      return layer.records.flatMap((record): Box[] => {
        const box = extentOf(record);
        if (box === null) return [];
        const shape = record.shape;
        // The polygon itself is tighter than its turned bounds.
        const points =
          shape?.kind === "polygons"
            ? shape.parts.flatMap((part) => pairs(part))
            : ([
                [box[0], box[1]],
                [box[2], box[1]],
                [box[2], box[3]],
                [box[0], box[3]],
              ] as [number, number][]);
        let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
        for (const [px, py] of points) {
          const [x, y] = project(map, px, py);
          x1 = Math.min(x1, x);
          y1 = Math.min(y1, y);
          x2 = Math.max(x2, x);
          y2 = Math.max(y2, y);
        }
        return [[x1, y1, x2, y2] as Box];
      });
    });
  }

  #sampleContext(notes: string[]): SampleContext {
    const { width, height } = this.canvas;
    let extents: Box[] | null = null;
    const session = this;
    return {
      width,
      height,
      size: Math.min(width, height),
      channels: this.#input.image.channels,
      get extents() {
        extents ??= session.#extents();
        return extents;
      },
      coverage: (rect) => this.#coverage(rect),
      note: (text) => notes.push(text),
    };
  }

  /** Largest share of an instance under a whole-pixel rectangle. */
  #coverage(rect: Box): number {
    const { width, height } = this.canvas;
    let largest = 0;
    for (const { shape, box } of this.#records) {
      const bounds = (shape === null ? null : shapeBounds(shape)) ?? box;
      if (bounds === null) continue;
      const w = Math.min(rect[2], bounds[2]) - Math.max(rect[0], bounds[0]);
      const h = Math.min(rect[3], bounds[3]) - Math.max(rect[1], bounds[1]);
      if (!(w > 0 && h > 0)) continue;
      let share: number;
      if (shape === null) share = (w * h) / boxArea(bounds);
      else {
        const bitmap = shape.kind === "bitmap" ? shape.bitmap : bitmapFromPolygons(shape.parts, bounds, width, height);
        const total = shapeArea({ kind: "bitmap", bitmap });
        share = total > 0 ? eraseRects(bitmap, [rect]).lost / total : 0;
      }
      largest = Math.max(largest, share);
    }
    return largest;
  }

  /** Draws what is pending, bent by a field where one is given. */
  #flushGeometry(bend: { readonly field: InverseField; readonly map: PlacedMap } | null): WorkImage {
    if (this.#scene !== null) {
      const { layers, pending } = this.#scene;
      const maps: PlacedMap[] = [{ kind: "matrix", matrix: pending }, ...(bend === null ? [] : [bend.map])];
      this.#sources = extendSources([...this.#sources, ...layerSources(layers)], maps);
      const { channels } = this.#input.image;
      const level = this.#plan.fill ?? (this.#isMosaic ? MOSAIC_FILL : 0);
      const fill = Array.from({ length: channels }, (_, c) =>
        Math.round(typeof level === "number" ? level : (level[c] ?? level[0]!)),
      );
      const old = this.#image;
      const rendered = renderScene({
        scene: this.#scene,
        field: bend?.field ?? null,
        canvas: this.canvas,
        border: this.#plan.border,
        fill,
        rules: this.#plan.instances,
        kernels: this.#kernels,
      });
      if (old !== null) this.#kernels.release(old);
      this.#image = rendered.image;
      this.#records = rendered.records;
      this.#points = rendered.points;
      this.#scene = null;
    }
    return this.#image!;
  }

  /** The picture becomes the only layer of a new scene: geometry after something that needed the pixels. */
  #openScene(): Scene {
    if (this.#scene === null) {
      this.#flushCurves();
      const { width, height } = this.canvas;
      this.#scene = {
        layers: [
          {
            image: this.#image!,
            place: IDENTITY3,
            clip: [0, 0, width, height],
            records: this.#records,
            isPaste: false,
            seamSigma: 0,
            from: null,
          },
        ],
        pending: IDENTITY3,
        flips: 0,
        points: this.#points,
      };
    }
    return this.#scene;
  }

  /** One table for all pending tone curves: composed in float, clipped after each, rounded once. */
  #flushCurves(): void {
    if (this.#curves.length === 0) return;
    const table = new Uint8Array(256);
    for (let x = 0; x < 256; x++) {
      let y = x;
      for (const curve of this.#curves) y = Math.min(255, Math.max(0, curve(y)));
      table[x] = Math.floor(y + 0.5);
    }
    this.#curves = [];
    this.#kernels.lut(this.#flushGeometry(null), table);
  }

  #vetoesFlip(path: string, type: string): boolean {
    const hasPoints = this.#input.points !== null && this.#input.points.length > 0;
    const hasKeypoints =
      hasPoints || this.#allRecords().some(({ keypoints }) => keypoints !== null && keypoints.length > 0);
    if (!hasKeypoints || this.#plan.instances.flipIdx !== undefined) return false;
    this.skip(path, type, "vetoed: keypoints need flipIdx to be mirrored");
    return true;
  }

  *apply({
    path,
    type,
    transform,
    random,
    params,
    recorded,
  }: {
    path: string;
    type: string;
    transform: AnyTransform;
    random: CounterRandom;
    params: Params;
    recorded: Params | null;
  }): Run<void> {
    const { width, height } = this.canvas;
    const notes: string[] = [];
    if (transform.kind === "geometric") {
      if (transform.isFlip === true && this.#vetoesFlip(path, type)) return;
      const scene = this.#openScene();
      const sampled = recorded ?? transform.sample(random, params, this.#sampleContext(notes));
      if (sampled === null) {
        this.skip(path, type, notes.join("; "));
        return;
      }
      const matrix = transform.matrix(sampled, { width, height });
      this.#scene = {
        ...scene,
        pending: compose(scene.pending, matrix),
        flips: scene.flips + (transform.isFlip === true ? 1 : 0),
      };
      this.#record(path, type, sampled, true, notes, params);
      return;
    }
    if (transform.kind === "field") {
      this.#openScene();
      const sampled = recorded ?? transform.sample(random, params, this.#sampleContext(notes));
      if (sampled === null) {
        this.skip(path, type, notes.join("; "));
        return;
      }
      const field = transform.field(sampled, { width, height, random: keyedRandom });
      this.#flushGeometry({ field, map: { kind: "field", path, type, params: sampled } });
      this.#record(path, type, sampled, true, notes, params);
      return;
    }
    if (transform.kind === "image" && transform.needsColor === true && this.#input.image.channels !== 3) {
      this.skip(path, type, `needs 3 channels, the image has ${this.#input.image.channels}`);
      return;
    }
    const image = this.#flushGeometry(null);
    const context = this.#sampleContext(notes);
    if (transform.kind === "pointwise") {
      const sampled = recorded ?? transform.sample(random, params, context);
      if (sampled === null) {
        this.skip(path, type, notes.join("; "));
        return;
      }
      this.#curves.push(transform.curve(sampled));
      this.#record(path, type, sampled, true, notes, params);
      return;
    }
    this.#flushCurves();
    const sampled = recorded ?? transform.sample(random, params, context);
    if (sampled === null) {
      this.skip(path, type, notes.join("; "));
      return;
    }
    const imageContext: ImageContext = Object.assign(Object.create(context) as SampleContext, {
      kernels: this.#kernels,
      random: keyedRandom,
      hide: (rects: readonly Box[], options: { erase: boolean; visibleBoxes: boolean }) => this.#hide(rects, options),
    });
    if (this.#hasPixels || transform.hidesInstances === true) {
      const promise = transform.applyAsync?.(image, sampled, imageContext) ?? null;
      if (promise === null) transform.apply(image, sampled, imageContext);
      else yield { promise, path };
    }
    this.#record(path, type, sampled, false, notes, params);
  }

  /** Keypoints under the rectangles become hidden; with `erase` masks lose them, with `visibleBoxes` boxes without a mask shrink. */
  #hide(rects: readonly Box[], { erase, visibleBoxes }: { erase: boolean; visibleBoxes: boolean }): void {
    const { width, height } = this.canvas;
    const hidePoints = (points: Float64Array | null): Float64Array | null => {
      if (points === null) return null;
      let out = points;
      for (let k = 0; k < points.length; k += 3) {
        if (points[k + 2] !== 2) continue;
        const [x, y] = [points[k]!, points[k + 1]!];
        if (!rects.some(([x1, y1, x2, y2]) => x >= x1 && y >= y1 && x < x2 && y < y2)) continue;
        if (out === points) out = points.slice();
        out[k + 2] = 1;
      }
      return out;
    };
    this.#points = hidePoints(this.#points);
    this.#records = this.#records.map((record) => {
      let next: InstanceRecord = { ...record, keypoints: hidePoints(record.keypoints) };
      const { shape } = record;
      const bounds = shape === null ? record.box : shapeBounds(shape);
      if (bounds === null) return next;
      const isTouched = rects.some(
        ([x1, y1, x2, y2]) => x1 < bounds[2] && y1 < bounds[3] && x2 > bounds[0] && y2 > bounds[1],
      );
      if (!isTouched) return next;
      if (shape !== null && (erase || visibleBoxes)) {
        const bitmap = shape.kind === "bitmap" ? shape.bitmap : bitmapFromPolygons(shape.parts, bounds, width, height);
        const { bitmap: left, lost } = eraseRects(bitmap, rects);
        if (lost === 0) return next;
        const seen = { kind: "bitmap", bitmap: left } as const;
        if (visibleBoxes || (erase && this.#plan.instances.boxFromMask)) {
          next = { ...next, box: shapeBounds(seen), givenBox: null };
        }
        if (erase) {
          next = {
            ...next,
            given: null,
            shape: seen,
            form: record.form === "polygons" ? "rle" : record.form,
            uncovered: record.uncovered ?? shapeArea(shape),
          };
        }
      } else if (shape === null && visibleBoxes && record.box !== null) {
        next = { ...next, box: rects.reduce(shrinkBox, record.box), givenBox: null };
      }
      return next;
    });
  }

  /** Tiles around the centre: this scene's picture first, then the donors; each warped straight to its place. */
  mosaic(path: string, donors: readonly PipelineSample[], centre: { x: number; y: number }): void {
    const { width, height } = this.canvas;
    const own = this.#input;
    const tiles = [own];
    for (let k = 0; k < 3; k++) {
      // Fewer donors than tiles: they repeat before the sample itself does.
      const donor = `${path}/tile${k + 1}`;
      tiles.push(intake(donors[k % donors.length]!, this.#plan.instances, { donor, hasPixels: this.#hasPixels }));
    }
    const channels = own.image.channels;
    const odd = tiles.find(({ image }) => image.channels !== channels);
    if (odd !== undefined) {
      throw new MissingDonorError({
        path,
        message: `A donor has ${odd.image.channels} channels, the sample ${channels}. Mix pictures of one kind.`,
      });
    }
    const layers = tiles.map((tile, k): Layer => {
      const { image } = tile;
      const scale = Math.min(width / image.width, height / image.height);
      const w = scale * image.width;
      const h = scale * image.height;
      const left = k % 2 === 0 ? centre.x - w : centre.x;
      const top = k < 2 ? centre.y - h : centre.y;
      return {
        image,
        // The doubled canvas reaches half a canvas beyond this one on every side.
        place: [scale, 0, left - width / 2, 0, scale, top - height / 2, 0, 0, 1],
        clip: [
          Math.max(0, -left / scale),
          Math.max(0, -top / scale),
          Math.min(image.width, (2 * width - left) / scale),
          Math.min(image.height, (2 * height - top) / scale),
        ],
        records: tile.records,
        isPaste: false,
        seamSigma: 0,
        from: { path: k === 0 ? "" : `${path}/tile${k}`, source: tile.source, instance: null },
      };
    });
    this.#scene = { layers, pending: IDENTITY3, flips: 0, points: this.#input.points };
    this.#isMosaic = true;
    this.#isMixed = true;
    this.#record(path, "mosaic", { x: centre.x, y: centre.y }, true, []);
  }

  /** Donor instances as layers of their own, behind the same pending maps. */
  copyPaste(
    path: string,
    instances: readonly DonorInstance[],
    random: CounterRandom,
    { flip, seamSigma }: MixPlanStep["params"],
  ): void {
    const scene = this.#openScene();
    const { width, height } = this.canvas;
    const region: Box = this.#isMosaic ? [-width / 2, -height / 2, 1.5 * width, 1.5 * height] : [0, 0, width, height];
    const boxes = this.#extents();
    const layers: Layer[] = [];
    const tried = new Map<PipelineSample, Intake>();
    const canFlip =
      flip && (this.#plan.instances.flipIdx !== undefined || !this.#allRecords().some((r) => r.keypoints));
    instances.forEach(({ sample, index }, k) => {
      const mirrored = random.uniform() < 0.5 && canFlip;
      const factor = f(random.uniform(0.5, 1.5));
      const u = random.uniform();
      const v = random.uniform();
      let donor = tried.get(sample);
      if (donor === undefined) {
        donor = intake(sample, this.#plan.instances, { donor: `${path}/paste`, hasPixels: this.#hasPixels });
        tried.set(sample, donor);
      }
      const record = donor.records.find(({ origin }) => origin === `${path}/paste:${index}`);
      if (record?.shape == null || record.isCrowd || donor.image.channels !== this.#input.image.channels) return;
      const bounds = shapeBounds(record.shape)!;
      const fit = Math.min(width / donor.image.width, height / donor.image.height);
      const scale = fit * factor;
      const w = (bounds[2] - bounds[0]) * scale;
      const h = (bounds[3] - bounds[1]) * scale;
      const left = region[0] + u * Math.max(0, region[2] - region[0] - w);
      const top = region[1] + v * Math.max(0, region[3] - region[1] - h);
      const target: Box = [left, top, left + w, top + h];
      // Nobody may lose more than a third under a paste.
      if (boxes.some((box) => coveredShare(box, target) >= PASTE_IOA)) return;
      boxes.push(target);
      const place: Homography = mirrored
        ? [-scale, 0, left + bounds[2] * scale, 0, scale, top - bounds[1] * scale, 0, 0, 1]
        : [scale, 0, left - bounds[0] * scale, 0, scale, top - bounds[1] * scale, 0, 0, 1];
      layers.push({
        image: donor.image,
        place,
        clip: [0, 0, donor.image.width, donor.image.height],
        records: [{ ...record, origin: `${path}/paste${k}:${index}` }],
        isPaste: true,
        seamSigma,
        from: { path: `${path}/paste${k}`, source: donor.source, instance: index },
      });
    });
    this.#scene = { ...scene, layers: [...scene.layers, ...layers] };
    this.#isMixed ||= layers.length > 0;
    const notes = layers.length < instances.length ? [`${layers.length} of ${instances.length} found room`] : [];
    this.#record(path, "copy_paste", { pasted: layers.length }, true, notes);
  }

  mixup(path: string, other: RunState, ratio: number, weighted: boolean): void {
    this.#flushCurves();
    const image = this.#flushGeometry(null);
    if (other.image.channels !== image.channels) {
      throw new MissingDonorError({
        path,
        message: `The donor has ${other.image.channels} channels, the sample ${image.channels}. Mix pictures of one kind.`,
      });
    }
    this.#kernels.mix(image, other.image, Math.round(ratio * 32768));
    this.#kernels.release(other.image);
    const own = this.#records.map((record) => (weighted ? { ...record, weight: record.weight * ratio } : record));
    const donors = other.records.map((record) => ({
      ...record,
      index: -1,
      origin: `${path}/donor:${record.index}`,
      id: null,
      weight: weighted ? 1 - ratio : 1,
    }));
    this.#records = [...own, ...donors];
    this.#sources = mixSources(this.#sources, other.sources, { path: `${path}/donor`, ratio });
    this.#isMixed = true;
    this.#hasWeights = true;
    this.#record(path, "mixup", { ratio }, false, []);
  }

  finish(): RunState {
    this.#flushCurves();
    const image = this.#flushGeometry(null);
    return {
      image,
      records: this.#records,
      points: this.#points,
      trace: this.#trace,
      applied: this.#applied,
      input: this.#input,
      isMixed: this.#isMixed,
      hasWeights: this.#hasWeights,
      canvas: this.canvas,
      sources: [...this.#sources],
    };
  }
}

function pairs(part: Float64Array): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i + 1 < part.length; i += 2) out.push([part[i]!, part[i + 1]!]);
  return out;
}

/** Share of `box` that `cover` hides. */
function coveredShare(box: Box, cover: Box): number {
  const w = Math.min(box[2], cover[2]) - Math.max(box[0], cover[0]);
  const h = Math.min(box[3], cover[3]) - Math.max(box[1], cover[1]);
  return w > 0 && h > 0 ? (w * h) / Math.max(1e-9, boxArea(box)) : 0;
}

/** A box without a strip that a rectangle covers over its whole width or height. */
function shrinkBox([x1, y1, x2, y2]: Box, [a, b, c, d]: Box): Box {
  if (a <= x1 && c >= x2) {
    if (b <= y1 && d > y1) return [x1, Math.min(d, y2), x2, y2];
    if (d >= y2 && b < y2) return [x1, y1, x2, Math.max(b, y1)];
  }
  if (b <= y1 && d >= y2) {
    if (a <= x1 && c > x1) return [Math.min(c, x2), y1, x2, y2];
    if (c >= x2 && a < x2) return [x1, y1, Math.max(a, x1), y2];
  }
  return [x1, y1, x2, y2];
}

/** Runs without waiting. */
export function driveSync<T>(run: Run<T>): T {
  const step = run.next();
  if (step.done === true) return step.value;
  // Nobody will wait for it.
  step.value.promise.catch(() => {});
  throw new AsyncBackendError({
    path: step.value.path,
    message: `${step.value.path} answers asynchronously. Call the pipeline itself and await it, instead of applySync.`,
  });
}

/** Waits wherever the run asks. */
export async function driveAsync<T>(run: Run<T>): Promise<T> {
  let step = run.next();
  while (step.done !== true) {
    let value: unknown;
    try {
      value = await step.value.promise;
    } catch (error) {
      step = run.throw(error);
      continue;
    }
    step = run.next(value);
  }
  return step.value;
}
