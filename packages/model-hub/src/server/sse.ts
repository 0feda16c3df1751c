/** One message of an event stream. */
export interface ServerEvent {
  readonly id: number;
  readonly event: string;
  readonly data: unknown;
}

/** Pause that tells proxies and clients that the stream lives (`spec/model-hub.md` 2.8). */
export const HEARTBEAT_MS = 15_000;
/** What a browser waits before it connects again. */
const RETRY_MS = 2_000;

/** `id`, `event` and JSON `data`; JSON holds no line break, so one data line is enough. */
export function formatServerEvent({ id, event, data }: ServerEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/**
 * The sequence number in `Last-Event-ID`, 0 without one.
 * @returns null when the header is no whole number
 */
export function lastEventId(header: string | null): number | null {
  if (header === null || header.trim() === "") return 0;
  if (!/^\d{1,15}$/.test(header.trim())) return null;
  return Number(header.trim());
}

/**
 * A `text/event-stream` answer of `events`. Pulls one event at a time, so a slow reader holds back only itself; when the client goes away
 * `onClose` is called and nothing else happens.
 */
export function eventStream({
  events,
  onClose,
  heartbeatMs = HEARTBEAT_MS,
}: {
  events: AsyncIterable<ServerEvent>;
  onClose: () => void;
  heartbeatMs?: number;
}): Response {
  const encoder = new TextEncoder();
  const iterator = events[Symbol.asyncIterator]();
  let heartbeat: NodeJS.Timeout | undefined;
  const end = () => {
    clearInterval(heartbeat);
    onClose();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
        heartbeat = setInterval(() => {
          // A reader that does not read gets no heartbeats piled up.
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(": alive\n\n"));
        }, heartbeatMs);
        heartbeat.unref();
      },
      async pull(controller) {
        try {
          const next = await iterator.next();
          if (next.done) {
            end();
            controller.close();
          } else controller.enqueue(encoder.encode(formatServerEvent(next.value)));
        } catch {
          // Once a stream has begun there is no status left to send: close, and the client connects again from its last event.
          end();
          try {
            controller.close();
          } catch {
            // It was cancelled meanwhile.
          }
        }
      },
      async cancel() {
        end();
        await iterator.return?.();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    status: 200,
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      // Proxies that buffer would hold progress back.
      "x-accel-buffering": "no",
    },
  });
}
