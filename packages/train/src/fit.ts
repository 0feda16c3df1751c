import { loadStateDict, type StateDict } from "@seg/nn";
import { CheckpointCorruptError, NonFiniteGradientError, NonFiniteLossError } from "./errors.js";
import { addGradNorm, addToSums, emptySums, FitSession, meansOf } from "./fit-session.js";
import { writeNanCapture } from "./nan-capture.js";
import type { ResultTerms } from "./results-csv.js";
import { writeTensorBoard } from "./tensorboard/write-tensorboard.js";
import type { CallbackName, FitResult, TrainEvent } from "./train-events.js";
import { checkFitConfig, type FitConfig, type FitOptions, type TrainTask } from "./train-task.js";

/** At most ten step events per second. */
const STEP_EVENT_MS = 100;
const MAX_ROLLBACKS = 3;

type Events<T = void> = AsyncGenerator<TrainEvent, T, undefined>;

/**
 * Trains a task: per epoch the batches, the evaluation of the averaged weights, one row in the logs, then the checkpoints. Deterministic:
 * a run that was killed at any instant and is resumed ends with the same bytes. Rows are written before the checkpoint of their epoch,
 * and rows after a checkpoint are dropped on resume, so that none is lost or doubled.
 *
 * @returns the events as they happen; the last one is `end`, which carries the {@link FitResult}
 * @throws {@link ConfigError}, {@link ResumeMismatchError}, {@link CheckpointWriteError}, {@link CheckpointCorruptError},
 * {@link NonFiniteLossError}, {@link NonFiniteGradientError}
 * @example
 * for await (const event of fit(task, { epochs: 30, directory: "runs/a", training })) if (event.type === "eval") show(event.metrics);
 */
export async function* fit(task: TrainTask, cfg: FitConfig, options: FitOptions = {}): Events<FitResult> {
  checkFitConfig(cfg);
  const { signal, now = () => performance.now(), callbacks = {} } = options;
  const session = new FitSession(task, cfg, now);
  const { checkpoints, run } = session;

  const warn = (message: string): TrainEvent => ({ type: "warning", message, ...session.progress() });
  async function* call(name: CallbackName): Events {
    try {
      await callbacks[name]?.({ epoch: session.epoch, step: cfg.training.batches });
    } catch (error) {
      yield warn(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  async function* end(reason: FitResult["reason"], metrics: FitResult["metrics"], state: StateDict): Events<FitResult> {
    yield* call("on_train_end");
    const { epoch } = session;
    const result: FitResult = {
      reason,
      epoch,
      step: cfg.training.batches,
      best: checkpoints.best,
      metrics,
      state,
      directory: run.path,
    };
    yield { type: "end", result, ...session.progress() };
    return result;
  }

  const resumed = session.open();
  if (!resumed && cfg.args) run.writeArgs(cfg.args);
  yield { type: "run", directory: run.path, resumedFrom: resumed?.path ?? null, ...session.progress() };
  for (const message of [...checkpoints.notices, ...(resumed?.warnings ?? [])]) yield warn(message);
  const interval = cfg.evaluation?.interval ?? 1;
  const { enabled, patience, restoreBestWeights } = checkpoints.config.earlyStopping;
  if (task.evaluate && enabled && patience < 3 * interval) {
    yield warn(`early_stopping.patience ${patience} is below 3 evaluation intervals (${interval} epochs each).`);
  }
  yield* call("on_train_start");

  let metrics: FitResult["metrics"] = null;
  while (session.epoch < cfg.epochs && !checkpoints.shouldStop) {
    if (signal?.aborted) return yield* end("aborted", metrics, session.evaluatedState());
    let finished: boolean;
    try {
      finished = yield* trainEpoch(session, signal);
    } catch (error) {
      const message = recover(session, error);
      yield warn(message);
      continue;
    }
    if (!finished) {
      const report = await checkpoints.saveLast(session.content());
      yield { type: "checkpoint", files: report.files, improved: false, best: checkpoints.best, ...session.progress() };
      return yield* end("aborted", metrics, session.evaluatedState());
    }

    const epoch = session.epoch + 1;
    const means = meansOf(session.sums);
    yield { type: "epoch", gradNorm: means.gradNorm, lr: session.sums.lr, ...session.progress() };
    yield* call("on_train_epoch_end");

    const due = task.evaluate !== undefined && (epoch % interval === 0 || epoch === cfg.epochs);
    task.model.train(false);
    const evaluated = due ? await task.evaluate!(epoch, session.evaluatedState()) : null;
    if (evaluated) {
      metrics = evaluated;
      yield { type: "eval", metrics: evaluated, ...session.progress() };
    }

    run.openResults(task.terms ?? termsOf(means.losses, evaluated, cfg.training.groups.length));
    run.append({
      epoch,
      step: cfg.training.batches,
      time: session.time(),
      train: means.losses,
      metrics: evaluated,
      lr: cfg.training.groups.map((group) => session.sums.lr[group.name] ?? 0),
      gradNorm: means.gradNorm,
    });
    if (cfg.tensorboard) writeTensorBoard(run, cfg.tensorboard);
    session.epoch = epoch;
    session.sums = emptySums();
    yield* call("on_fit_epoch_end");

    const report = await checkpoints.save(session.content(), evaluated);
    for (const message of report.warnings) yield warn(message);
    if (report.files.length > 0) {
      const { files, improved } = report;
      yield { type: "checkpoint", files, improved, best: checkpoints.best, ...session.progress(means.losses) };
      yield* call("on_model_save");
    }
  }

  if (!checkpoints.shouldStop) return yield* end("completed", metrics, session.evaluatedState());
  yield { type: "early-stop", best: checkpoints.best, patience, ...session.progress() };
  let state = session.evaluatedState();
  if (restoreBestWeights && checkpoints.config.saveBest && checkpoints.best) {
    try {
      const { tensors } = checkpoints.load("best");
      state = tensors.ema ?? tensors.model;
      loadStateDict(task.model, state);
    } catch (error) {
      if (!(error instanceof CheckpointCorruptError)) throw error;
      yield warn(`${error.message} The last weights stay.`);
    }
  }
  return yield* end("early-stop", metrics, state);
}

/** The rest of the epoch in progress; false when it was aborted, between two updates. */
async function* trainEpoch(session: FitSession, signal: AbortSignal | undefined): Events<boolean> {
  const { task, cfg, checkpoints, run } = session;
  const { training } = cfg;
  const { saveIntervalSteps } = checkpoints.config;
  const epoch = session.epoch + 1;
  task.model.train(true);
  task.projector?.train(true);
  await task.onEpochStart?.(epoch);
  let shown = Number.NEGATIVE_INFINITY;
  while (session.sums.batches < task.stepsPerEpoch) {
    const given = await task.batch(epoch, session.sums.batches);
    const batch = typeof given === "function" ? { loss: given } : given;
    let result: Awaited<ReturnType<typeof training.step>>;
    try {
      result = await training.step(batch.loss, batch.inputs);
    } catch (error) {
      if (error instanceof NonFiniteLossError || error instanceof NonFiniteGradientError) {
        await writeNanCapture(run, {
          epoch,
          step: training.batches,
          ids: batch.ids ?? [],
          error,
          rng: task.state?.()["rng"] ?? null,
          lastCheckpoint: checkpoints.config.lastName,
          ...(batch.inputs ? { inputs: batch.inputs } : {}),
        });
      }
      throw error;
    } finally {
      batch.dispose?.();
    }
    // The engine computes synchronously: without a turn of the event loop no signal handler could ever abort this loop.
    await new Promise((resolve) => setImmediate(resolve));
    addToSums(session.sums, result);
    session.count(batch.images ?? task.imagesPerStep ?? 1);
    const time = session.now();
    if (time - shown >= STEP_EVENT_MS) {
      shown = time;
      const { loss, gradNorm, lr, parts } = result;
      yield { type: "step", loss, gradNorm, lr, ...session.progress(parts) };
    }
    if (training.isWindowOpen || session.sums.batches === task.stepsPerEpoch) continue;
    if (saveIntervalSteps !== null && result.updated && training.updates % saveIntervalSteps === 0) {
      const { files } = await checkpoints.saveStep(session.content(), training.updates);
      yield { type: "checkpoint", files, improved: false, best: checkpoints.best, ...session.progress() };
    }
    if (signal?.aborted) return false;
  }
  const rest = training.flush();
  if (rest) addGradNorm(session.sums, rest.gradNorm);
  return true;
}

/** Goes back to the newest checkpoint when the configuration allows it; throws `error` otherwise. */
function recover(session: FitSession, error: unknown): string {
  const isNan = error instanceof NonFiniteLossError || error instanceof NonFiniteGradientError;
  if (!isNan || session.cfg.on_nan !== "rollback" || session.epoch === 0 || session.rollbacks >= MAX_ROLLBACKS)
    throw error;
  session.rollbacks += 1;
  const loaded = session.reload();
  if (!loaded) throw error;
  return `${error.message} Went back to ${loaded.path} (rollback ${session.rollbacks} of ${MAX_ROLLBACKS}).`;
}

/** Columns for a task that declares none. */
function termsOf(
  losses: Readonly<Record<string, number>>,
  metrics: Readonly<Record<string, number>> | null,
  groups: number,
): ResultTerms {
  const names = Object.keys(losses);
  return {
    losses: names,
    boxes: metrics ? "mAP50" in metrics : names.includes("box"),
    masks: metrics ? "mask_mAP50" in metrics : names.includes("seg"),
    groups,
  };
}
