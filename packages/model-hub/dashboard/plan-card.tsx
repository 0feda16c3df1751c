import { useState } from "preact/hooks";
import type { AvailableDatasets, HubClient, Plan, PlanRequest } from "../src/client/index.js";
import { messageOf } from "./login.js";

type Level = "standard" | "detailed" | "technical";

const PRIORITIES: readonly (readonly [value: NonNullable<PlanRequest["priority"]>, label: string])[] = [
  ["balanced", "Accuracy and speed alike"],
  ["quality", "Accuracy first"],
  ["speed", "Speed first"],
  ["memory", "Little memory"],
];

/** Outputs that most people want to see, in their words. */
const SHOWN: readonly (readonly [output: string, label: string])[] = [
  ["student", "Model for the device"],
  ["detector_teacher", "Teacher for boxes"],
  ["mask_teacher", "Teacher for masks"],
  ["image_size", "Image size"],
  ["student_epochs", "Passes over the data"],
  ["augmentation", "Variation of the images"],
  ["export", "Number format on the device"],
];

const shown = (value: unknown): string => {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
};

/** Asks the advisor what to train on a data set, says why, and lets a person accept it. */
export function PlanCard({
  client,
  data,
  onError,
}: {
  client: HubClient;
  data: AvailableDatasets;
  onError(title: string, error: unknown): void;
}) {
  const usable = data.datasets.filter(({ format }) => format !== "csv");
  const [dataset, setDataset] = useState("");
  const [task, setTask] = useState("");
  const [priority, setPriority] = useState<NonNullable<PlanRequest["priority"]>>("balanced");
  const [plan, setPlan] = useState<Plan | null>(null);
  const [explanation, setExplanation] = useState<{ level: Level; text: string } | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  const ask = async (event: Event) => {
    event.preventDefault();
    if (dataset === "") {
      setFault("Choose a data set first.");
      return;
    }
    setBusy(true);
    setFault(null);
    setExplanation(null);
    try {
      const words = task.trim();
      setPlan(
        await client.recommendPlan({ dataset_name: dataset, priority, ...(words === "" ? {} : { task: words }) }),
      );
    } catch (error) {
      setPlan(null);
      setFault(messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const explain = (level: Level) => {
    client
      .explainPlan(plan!.id, { level })
      .then(({ text }) => setExplanation({ level, text }))
      .catch((error: unknown) => onError("The plan could not be explained", error));
  };
  const confirm = () => {
    client
      .confirmPlan(plan!.id)
      .then(setPlan)
      .catch((error: unknown) => onError("The plan was not accepted", error));
  };

  return (
    <section class="card" aria-labelledby="plan-title">
      <h2 id="plan-title">Plan a training</h2>
      <form onSubmit={ask} class="plan-form">
        <div class="dataset">
          <label for="plan-dataset">Data set to plan for</label>
          <select id="plan-dataset" value={dataset} onChange={(event) => setDataset(event.currentTarget.value)}>
            <option value="">Choose…</option>
            {usable.map(({ name, images }) => (
              <option key={name} value={name}>
                {name} ({images} images)
              </option>
            ))}
          </select>
        </div>
        <div class="dataset">
          <label for="plan-task">What shall be found?</label>
          <input
            id="plan-task"
            type="text"
            value={task}
            placeholder="for example: scratches on metal lids"
            onInput={(event) => setTask(event.currentTarget.value)}
          />
        </div>
        <div class="dataset">
          <label for="plan-priority">What matters most?</label>
          <select
            id="plan-priority"
            value={priority}
            onChange={(event) => setPriority(event.currentTarget.value as typeof priority)}
          >
            {PRIORITIES.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </div>
        {fault !== null && (
          <p class="note bad" role="alert">
            {fault}
          </p>
        )}
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? "Looking at the data…" : "Propose a plan"}
        </button>
      </form>
      {plan !== null && (
        <div class="plan" aria-live="polite">
          <table>
            <caption class="visually-hidden">The plan, choice by choice</caption>
            <thead>
              <tr>
                <th scope="col">Choice</th>
                <th scope="col">Value</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {SHOWN.map(([output, label]) => (
                <tr key={output}>
                  <th scope="row">{label}</th>
                  <td>{shown(plan.choices[output])}</td>
                  <td>{plan.trace.find((entry) => entry.output === output)?.reason ?? ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {plan.warnings.map((warning) => (
            <p key={warning} class="note warn">
              {warning}
            </p>
          ))}
          <div class="plan-actions">
            {plan.state === "proposed" ? (
              <button type="button" class="primary" onClick={confirm}>
                Accept the plan
              </button>
            ) : (
              <p class="note good" role="status">
                Accepted. Its number is <span class="mono">{plan.id}</span>.
              </p>
            )}
            {(["standard", "detailed", "technical"] as const).map((level) => (
              <button
                key={level}
                type="button"
                aria-pressed={explanation?.level === level}
                onClick={() => explain(level)}
              >
                {level === "standard" ? "Explain" : level === "detailed" ? "Explain in detail" : "For experts"}
              </button>
            ))}
          </div>
          {explanation !== null && (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
            <pre class="explanation" tabIndex={0}>
              {explanation.text}
            </pre>
          )}
        </div>
      )}
    </section>
  );
}
