import type { FitResult, TrainEvent } from "@seg/train";
import type { Output } from "./output.js";

const number = (value: number | null | undefined) =>
  value === undefined || value === null || Number.isNaN(value) ? "-" : value.toFixed(3);

/** Shows the events of a training run and returns its result. */
export async function followTraining(
  events: AsyncGenerator<TrainEvent, FitResult, undefined>,
  { output, label, stepsPerEpoch }: { output: Output; label: string; stepsPerEpoch: number },
): Promise<FitResult> {
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
    const event = next.value;
    const { losses, etaSeconds, imgPerSec } = event;
    if (event.type === "end") {
      output.event({ type: "end", reason: event.result.reason, epoch: event.result.epoch, best: event.result.best });
      continue;
    }
    output.event(event as unknown as Record<string, unknown>);
    if (event.type === "run" && event.resumedFrom !== null) output.line(`resumed from ${event.resumedFrom}`);
    if (event.type === "warning") output.line(`warning: ${event.message}`);
    if (event.type === "early-stop")
      output.line(`stopped early: no improvement for ${event.patience} epochs, best weights restored`);
    if (event.type === "step") {
      const parts = Object.entries(losses)
        .map(([name, value]) => `${name} ${number(value)}`)
        .join("  ");
      output.progress({
        label: `${label} epoch ${event.epoch}/${event.totalEpochs}`,
        done: event.step,
        total: event.totalEpochs * stepsPerEpoch,
        ...(etaSeconds === null || etaSeconds === undefined ? {} : { etaSeconds }),
        detail: `${(imgPerSec ?? 0).toFixed(1)} img/s  ${parts}`,
      });
    }
    if (event.type === "eval") {
      const m = event.metrics;
      const masks =
        m["mask_mAP50"] === undefined
          ? ""
          : `  mask mAP50 ${number(m["mask_mAP50"])} mAP50-95 ${number(m["mask_mAP50-95"])} IoU ${number(m["mask_IoU"])}`;
      output.line(
        `${label} epoch ${event.epoch}: box mAP50 ${number(m["mAP50"])} mAP50-95 ${number(m["mAP50-95"])}${masks}`,
      );
    }
  }
}
