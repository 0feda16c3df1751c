import { useEffect, useState } from "preact/hooks";
import type { HubClient, Job, Progress, WatchedEvent } from "../src/client/index.js";
import { formatDecimal, formatDuration, formatInstant } from "../src/dashboard/format.js";
import { metricView } from "./metrics.js";

const ENDED = new Set(["succeeded", "failed", "cancelled", "interrupted"]);
export const isEnded = (job: Pick<Job, "state">): boolean => ENDED.has(job.state);

const PHASES: Readonly<Record<string, string>> = {
  preparing: "Preparing",
  training: "Training",
  evaluating: "Evaluating",
  saving: "Saving",
};

/** A running job: bar, phase, remaining time, metrics, log and Cancel. Reads the job's event stream until its end. */
export function JobPanel({
  client,
  job,
  isAdmin,
  onEnd,
  onCancel,
}: {
  client: HubClient;
  job: Job;
  isAdmin: boolean;
  onEnd(job: Job): void;
  onCancel(job: Job): void;
}) {
  const [progress, setProgress] = useState<Progress | null>(job.progress);
  const [state, setState] = useState<string>(job.state);
  const [log, setLog] = useState<readonly string[]>([]);
  const [fault, setFault] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    const take = ({ type, data }: WatchedEvent) => {
      if (type === "progress") setProgress(data as unknown as Progress);
      else if (type === "status") setState(String(data["state"] ?? ""));
      else if (type === "log")
        setLog((lines) => [...lines.slice(-199), String(data["message"] ?? JSON.stringify(data))]);
    };
    const watch = async () => {
      try {
        for await (const event of client.watchJob(job.id, { signal: stop.signal })) take(event);
        if (!stop.signal.aborted) onEnd(await client.getJob(job.id));
      } catch {
        if (!stop.signal.aborted) setFault(true);
      }
    };
    void watch();
    return () => stop.abort();
  }, [job.id]);

  const percent = Math.round(progress?.percent ?? 0);
  const phase = progress === null ? "Waiting for its turn" : (PHASES[progress.phase] ?? progress.phase);
  const epoch =
    progress?.epoch === null || progress?.epoch === undefined
      ? ""
      : ` · epoch ${progress.epoch}${progress.epochs === null ? "" : ` of ${progress.epochs}`}`;
  const metrics = Object.entries(progress?.metrics ?? {}).filter(([, value]) => value !== null);
  const isCancelling = state === "cancelling";
  return (
    <section class="card job" aria-labelledby={`job-${job.id}`}>
      <div class="card-head">
        <div>
          <p class="eyebrow">
            <span class="dot pulse" aria-hidden="true" />{" "}
            {isCancelling ? "Cancelling" : state === "queued" ? "Queued" : "Running"}
          </p>
          <h2 id={`job-${job.id}`}>Retraining</h2>
          <p class="muted">
            Started {formatInstant(job.started_at ?? job.created_at)}
            {job.created_by === null ? "" : ` by ${job.created_by}`}
          </p>
        </div>
        {isAdmin && (
          <button type="button" disabled={isCancelling} onClick={() => onCancel(job)}>
            {isCancelling ? "Cancelling…" : "Cancel"}
          </button>
        )}
      </div>
      <div class="progress-line">
        <span>
          {phase}
          {epoch}
        </span>
        <span class="muted">
          {progress?.eta_s === null || progress?.eta_s === undefined
            ? "remaining time not known yet"
            : `${formatDuration(Math.ceil(progress.eta_s))} left`}
        </span>
      </div>
      <div class="bar-row">
        <progress aria-label="Progress of retraining" max={100} value={percent} />
        <span class="percent">{percent} %</span>
      </div>
      {metrics.length > 0 && (
        <p class="live-metrics">
          {metrics.map(([key, value]) => {
            const known = metricView(key);
            return (
              <span key={key}>
                {known.label} <strong>{key in PLAIN ? formatDecimal(value) : known.format(value)}</strong>
              </span>
            );
          })}
        </p>
      )}
      {log.length > 0 && (
        <details>
          <summary>
            Log, {log.length} {log.length === 1 ? "line" : "lines"}
          </summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
          <section class="log" tabIndex={0} aria-label="Log of the job">
            <pre>{log.join("\n")}</pre>
          </section>
        </details>
      )}
      {fault && <p class="note warn">The connection was lost. The job goes on; reload the page to see it.</p>}
    </section>
  );
}

/** Shown as they are, not as percent. */
const PLAIN: Readonly<Record<string, true>> = { loss: true };

/** Jobs that ended, newest first; those that did not succeed can go on from their checkpoint. */
export function RecentJobs({
  jobs,
  isAdmin,
  onResume,
}: {
  jobs: readonly Job[];
  isAdmin: boolean;
  onResume(job: Job): void;
}) {
  if (jobs.length === 0) return null;
  return (
    <details class="card fold">
      <summary>
        <h2>Earlier runs</h2>
      </summary>
      <ul class="rows">
        {jobs.map((job) => (
          <li key={job.id}>
            <span class={`badge state-${job.state}`}>{job.state}</span>
            <span class="grow">
              {formatInstant(job.finished_at ?? job.created_at)}
              {typeof job.result?.["version"] === "string" && <span class="mono"> {job.result["version"]}</span>}
              {job.error !== null && <span class="muted"> {job.error.message}</span>}
            </span>
            {isAdmin && job.state !== "succeeded" && (
              <button
                type="button"
                aria-label={`Resume the run of ${formatInstant(job.created_at)}`}
                onClick={() => onResume(job)}
              >
                Resume
              </button>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
