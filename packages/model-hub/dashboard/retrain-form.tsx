import { useEffect, useRef, useState } from "preact/hooks";
import type { AvailableDatasets, HubClient, RetrainPreview, RetrainRequest, Trainers } from "../src/client/index.js";
import { formatCount, formatDuration, formatRate } from "../src/dashboard/format.js";
import { countScale, powerScale, rateScale } from "../src/dashboard/slider-scale.js";
import { checkFile, type FileCheck } from "./check-file.js";
import type { Question } from "./dialog.js";
import { messageOf } from "./login.js";
import { SliderField } from "./slider-field.js";

const EPOCHS = countScale({ min: 1, max: 10_000, steps: 120 });
const BATCH = powerScale({ min: 1, max: 1024 });
const RATE = rateScale({ min: 1e-6, max: 1 });

interface Fields {
  readonly epochs: number | null;
  readonly batch_size: number | null;
  readonly learning_rate: number | null;
  readonly hidden_size: number | null;
}

const AUTOMATIC: Fields = { epochs: null, batch_size: null, learning_rate: null, hidden_size: null };

export function RetrainForm({
  client,
  model,
  data,
  trainers,
  onAsk,
  onStarted,
  onDataChange,
  onError,
}: {
  client: HubClient;
  model: string;
  data: AvailableDatasets;
  trainers: Trainers["trainers"];
  onAsk(question: Question): void;
  onStarted(jobId: string): void;
  onDataChange(): Promise<void>;
  onError(title: string, error: unknown): void;
}) {
  const [source, setSource] = useState<"stored" | "uploaded">("stored");
  const [dataset, setDataset] = useState("");
  const [trainerId, setTrainerId] = useState(trainers[0]?.id ?? "");
  const [fields, setFields] = useState<Fields>(AUTOMATIC);
  const [description, setDescription] = useState("");
  const [preview, setPreview] = useState<RetrainPreview | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const previewBox = useRef<HTMLDivElement>(null);
  const trainer = trainers.find(({ id }) => id === trainerId) ?? trainers[0];

  const request: RetrainRequest = {
    model,
    use_database: source === "stored",
    ...(source === "uploaded" ? { dataset_name: dataset } : {}),
    ...(trainer === undefined ? {} : { trainer: trainer.id }),
    ...(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as Partial<RetrainRequest>),
    ...(description.trim() === "" ? {} : { description: description.trim() }),
  };
  const asked = JSON.stringify(request);
  useEffect(() => {
    setPreview(null);
    setFault(null);
  }, [asked]);

  // What the trainer can read; the rest is stored but of no use to it.
  const usable = data.datasets.filter(({ schema }) => schema === trainer?.dataset_schema);
  const set = (key: keyof Fields) => (value: number | null) => setFields((now) => ({ ...now, [key]: value }));
  const chosen = usable.find(({ name }) => name === dataset);
  const stored = usable.reduce((sum, { records: count }) => sum + count, 0);
  const records = source === "stored" ? stored : (chosen?.records ?? null);
  const isTooSmall = records !== null && records < data.min_records;
  const isMissing = source === "uploaded" && chosen === undefined;

  const makePreview = async (): Promise<RetrainPreview | null> => {
    if (isMissing) {
      setFault("Choose or upload a data set first.");
      return null;
    }
    setBusy(true);
    try {
      const made = await client.previewRetrain(request);
      setPreview(made);
      setFault(null);
      return made;
    } catch (error) {
      setFault(messageOf(error));
      return null;
    } finally {
      setBusy(false);
    }
  };

  const start = async (event: Event) => {
    event.preventDefault();
    const made = preview ?? (await makePreview());
    if (made === null) return;
    onAsk({
      title: "Start retraining?",
      action: "Start retraining",
      body: (
        <>
          <p>
            {formatCount(made.config.records)} records, {made.config.epochs} epochs
            {made.estimate.seconds === null ? "" : `, about ${formatDuration(made.estimate.seconds)}`}.
          </p>
          <p>The active version stays in production until you activate another one.</p>
        </>
      ),
      async onYes() {
        try {
          onStarted((await client.startRetrain(request)).job_id);
        } catch (error) {
          onError("Retraining did not start", error);
        }
      },
    });
  };

  return (
    <section class="card" aria-labelledby="retrain-title">
      <h2 id="retrain-title">Retrain</h2>
      <form onSubmit={start}>
        <fieldset class="radios">
          <legend>Data</legend>
          <label class="radio">
            <input type="radio" name="source" checked={source === "stored"} onChange={() => setSource("stored")} />
            <span>
              <strong>Stored data</strong>
              <span class="hint">
                {formatCount(stored)} records in {usable.length} data set
                {usable.length === 1 ? "" : "s"}
              </span>
            </span>
          </label>
          <label class="radio">
            <input type="radio" name="source" checked={source === "uploaded"} onChange={() => setSource("uploaded")} />
            <span>
              <strong>One data set</strong>
              <span class="hint">Choose one that was uploaded, or upload another</span>
            </span>
          </label>
        </fieldset>
        {source === "uploaded" && (
          <div class="dataset">
            <label for="dataset">Data set</label>
            <select id="dataset" value={dataset} onChange={(event) => setDataset(event.currentTarget.value)}>
              <option value="">Choose…</option>
              {usable.map(({ name, records: count }) => (
                <option key={name} value={name}>{`${name} (${formatCount(count)} records)`}</option>
              ))}
            </select>
            <UploadField
              client={client}
              data={data}
              schemaId={trainer?.dataset_schema ?? "coco"}
              onUploaded={async (name) => {
                await onDataChange();
                setDataset(name);
              }}
            />
          </div>
        )}
        {isTooSmall && (
          <p class="note warn" role="status">
            Only {formatCount(records)} records: retraining needs at least {data.min_records}.
          </p>
        )}
        {trainers.length > 1 && (
          <div class="field">
            <label for="trainer">Trainer</label>
            <select
              id="trainer"
              value={trainer?.id ?? ""}
              onChange={(event) => setTrainerId(event.currentTarget.value)}
            >
              {trainers.map(({ id, description: text }) => (
                <option key={id} value={id}>{`${id}: ${text}`}</option>
              ))}
            </select>
          </div>
        )}
        {trainer !== undefined && (
          <div class="sliders">
            <SliderField
              id="epochs"
              label="Epochs"
              hint="Passes over the data, 1 to 10,000"
              scale={EPOCHS}
              value={fields.epochs}
              fallback={trainer.defaults.epochs}
              isWhole
              format={String}
              onChange={set("epochs")}
            />
            <SliderField
              id="batch"
              label="Batch size"
              hint="Images per step, 1 to 1024"
              scale={BATCH}
              value={fields.batch_size}
              fallback={trainer.defaults.batch_size}
              isWhole
              format={String}
              onChange={set("batch_size")}
            />
            <SliderField
              id="rate"
              label="Learning rate"
              hint="Step size, up to 1"
              scale={RATE}
              value={fields.learning_rate}
              fallback={trainer.defaults.learning_rate}
              isWhole={false}
              format={formatRate}
              onChange={set("learning_rate")}
            />
            <SliderField
              id="hidden"
              label="Hidden size"
              hint={`Trainable capacity, 1 to ${trainer.max_hidden_size}`}
              scale={powerScale({ min: 1, max: trainer.max_hidden_size })}
              value={fields.hidden_size}
              fallback={trainer.defaults.hidden_size}
              isWhole
              format={String}
              onChange={set("hidden_size")}
            />
          </div>
        )}
        <div class="field">
          <label for="description">Note (optional)</label>
          <input
            id="description"
            type="text"
            maxLength={200}
            placeholder="What is different this time?"
            value={description}
            onInput={(event) => setDescription(event.currentTarget.value)}
          />
        </div>
        {fault !== null && (
          <p class="note bad" role="alert">
            {fault}
          </p>
        )}
        <div ref={previewBox} aria-live="polite">
          {preview !== null && <Preview preview={preview} />}
        </div>
        <div class="actions">
          <button type="button" disabled={isBusy} onClick={() => void makePreview()}>
            {isBusy ? "Checking…" : "Preview"}
          </button>
          <button type="submit" class="primary" disabled={isBusy || trainer === undefined || isTooSmall}>
            Start…
          </button>
        </div>
      </form>
    </section>
  );
}

const ORIGIN: Readonly<Record<string, string>> = {
  request: "chosen here",
  advisor: "suggested for this data",
  trainer: "default of the trainer",
};

function Preview({ preview: { config, estimate, warnings } }: { preview: RetrainPreview }) {
  const rows: readonly [string, string, string | undefined][] = [
    ["Trainer", config.trainer, undefined],
    ["Data", `${formatCount(config.records)} records: ${config.datasets.join(", ") || "none"}`, undefined],
    ["Epochs", String(config.epochs), config.sources["epochs"]],
    ["Batch size", String(config.batch_size), config.sources["batch_size"]],
    ["Learning rate", formatRate(config.learning_rate), config.sources["learning_rate"]],
    ["Hidden size", String(config.hidden_size), config.sources["hidden_size"]],
    ["Seed", String(config.seed), config.sources["seed"]],
    ["Starts from", config.base_version ?? "the trainer's own weights", undefined],
    [
      "Estimate",
      `${formatCount(estimate.steps)} steps${estimate.seconds === null ? ", time not measured yet" : `, about ${formatDuration(estimate.seconds)}`}`,
      undefined,
    ],
  ];
  return (
    <section class="preview" aria-label="Preview of the configuration">
      <h3>What would run</h3>
      <dl>
        {rows.map(([label, value, origin]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {value}
              {origin !== undefined && <span class="origin"> {ORIGIN[origin] ?? origin}</span>}
            </dd>
          </div>
        ))}
      </dl>
      {warnings.map((warning) => (
        <p key={warning} class="note warn">
          {warning}
        </p>
      ))}
    </section>
  );
}

function UploadField({
  client,
  data,
  schemaId,
  onUploaded,
}: {
  client: HubClient;
  data: AvailableDatasets;
  /** `coco`: CSVs carry boxes, the schema `segmentation`. */
  schemaId: string;
  onUploaded(name: string): Promise<void>;
}) {
  const [file, setFile] = useState<File | null>(null);
  const [check, setCheck] = useState<FileCheck | null>(null);
  const [state, setState] = useState<"idle" | "checking" | "sending">("idle");
  const [message, setMessage] = useState<{ isBad: boolean; text: string; lines?: readonly string[] } | null>(null);
  const csvSchema = data.schemas.find(({ id }) => id === (schemaId === "coco" ? "segmentation" : schemaId)) ?? null;

  const choose = async (chosen: File | null) => {
    setFile(chosen);
    setCheck(null);
    setMessage(null);
    if (chosen === null) return;
    setState("checking");
    setCheck(await checkFile(chosen, csvSchema));
    setState("idle");
  };
  const send = async () => {
    if (file === null) return;
    setState("sending");
    setMessage(null);
    try {
      const isCsv = file.name.toLowerCase().endsWith(".csv");
      const report = await client.uploadDataset(file, isCsv && csvSchema !== null ? { schema: csvSchema.id } : {});
      setMessage({
        isBad: false,
        text: report.existing
          ? `${report.dataset_name} was stored before.`
          : `${report.dataset_name}: ${formatCount(report.records)} records stored.`,
        lines:
          report.dataset.schema === schemaId
            ? report.warnings
            : [
                ...report.warnings,
                `The chosen trainer reads ${schemaId}, not ${report.dataset.schema}: it cannot train on this one.`,
              ],
      });
      setFile(null);
      setCheck(null);
      await onUploaded(report.dataset_name);
    } catch (error) {
      const lines = (error as { errors?: { path: string; message: string }[] }).errors ?? [];
      setMessage({
        isBad: true,
        text: messageOf(error),
        lines: lines.length > 1 ? lines.map((e) => `${e.path}: ${e.message}`) : [],
      });
    } finally {
      setState("idle");
    }
  };
  const isFew = check?.records !== null && check !== null && check.records < data.min_records;
  return (
    <div class="upload">
      <label for="file">Upload a data set</label>
      <input
        id="file"
        type="file"
        accept=".json,.zip,.csv"
        aria-describedby="file-hint"
        onChange={(event) => void choose(event.currentTarget.files?.[0] ?? null)}
      />
      <p id="file-hint" class="hint">
        COCO .json, .zip with images and COCO, or .csv
        {csvSchema === null
          ? ""
          : ` with ${csvSchema.columns
              .filter(({ required }) => required)
              .map(({ name }) => name)
              .join(", ")}`}
        ; up to 2 GiB.
      </p>
      <div aria-live="polite">
        {check !== null && check.problems.length > 0 && (
          <div class="note bad">
            <strong>This file would be refused:</strong>
            <ul>
              {check.problems.map((problem) => (
                <li key={problem}>{problem}</li>
              ))}
            </ul>
          </div>
        )}
        {check !== null && check.problems.length === 0 && (
          <p class="note good">
            {check.records === null
              ? "Looks right; the server checks all of it."
              : `Looks right: ${formatCount(check.records)} records.`}
          </p>
        )}
        {isFew && check?.problems.length === 0 && (
          <p class="note warn">Fewer than {data.min_records} records: it can be stored, but not trained on alone.</p>
        )}
        {message !== null && (
          <div class={`note ${message.isBad ? "bad" : "good"}`}>
            {message.text}
            {message.lines !== undefined && message.lines.length > 0 && (
              <ul>
                {message.lines.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            )}
          </div>
        )}
      </div>
      <button
        type="button"
        disabled={file === null || state !== "idle" || (check?.problems.length ?? 1) > 0}
        onClick={() => void send()}
      >
        {state === "sending" ? "Uploading…" : state === "checking" ? "Checking…" : "Upload"}
      </button>
    </div>
  );
}
