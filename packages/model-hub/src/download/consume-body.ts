import { type Consume, DirectResponse, type Memory } from "../internal/direct-fetch.js";

/**
 * Passes the body of `response` to `consume`, piece by piece; a response without a body has no piece.
 *
 * @param memory - where pieces should be written; those that lie elsewhere must be copied
 * @param idle - aborted when nothing arrives for `idleTimeoutMs` while nothing is being consumed; its signal is that of the request
 * @throws what `consume` throws, and the network's error when the connection breaks
 */
export async function consumeBody({
  response,
  consume,
  memory,
  idle,
  idleTimeoutMs,
}: {
  response: Response;
  consume: Consume;
  memory: Memory;
  idle: AbortController;
  idleTimeoutMs: number;
}): Promise<void> {
  // One timer for the whole body, not one for every piece.
  let isConsuming = false;
  const timer = setTimeout(() => {
    if (isConsuming) timer.refresh();
    else idle.abort(new Error(`nothing arrived for ${idleTimeoutMs} ms`));
  }, idleTimeoutMs);
  const watched: Consume = (bytes) => {
    timer.refresh();
    const pause = consume(bytes);
    if (pause === undefined) return undefined;
    isConsuming = true;
    return pause.finally(() => {
      isConsuming = false;
      timer.refresh();
    });
  };
  try {
    if (response instanceof DirectResponse) {
      await response.consume(watched, memory);
      return;
    }
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part?.done === false; part = await reader!.read()) await watched(part.value);
  } finally {
    clearTimeout(timer);
  }
}
