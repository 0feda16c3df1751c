import { type JobEventType, type JobState, TERMINAL_STATES } from "./types.js";

/** How long a worker holds a job without a heartbeat. */
export const LEASE_MS = 30_000;
/** Events outlive the end of their job by this. */
export const EVENTS_KEPT_MS = 7 * 24 * 3600_000;

/** The event that tells of a state. */
export function eventTypeOf(state: JobState): JobEventType {
  if (!TERMINAL_STATES.has(state)) return "status";
  return state === "failed" || state === "interrupted" ? "error" : "done";
}
