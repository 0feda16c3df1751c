import type { HubClock } from "../internal/clock.js";

/** A writer that lost ten times in a row meets something else than bad luck. */
const MAX_RETRIES = 10;
const FIRST_WAIT_MS = 5;
const MAX_WAIT_MS = 500;

/** Runs `attempt` again while `isTransient` says so, after 5, 10, 20, ... 500 ms times a random factor of 0.5-1.5. */
export async function retryTransient<Result>(
  attempt: () => Promise<Result>,
  { isTransient, clock, random }: { isTransient: (error: unknown) => boolean; clock: HubClock; random: () => number },
): Promise<Result> {
  for (let retries = 0; ; retries++) {
    try {
      return await attempt();
    } catch (error) {
      if (retries >= MAX_RETRIES || !isTransient(error)) throw error;
      await clock.sleep(Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** retries) * (0.5 + random()));
    }
  }
}
