import { engineConfig } from "./settings.js";
import { type Compiled, engineState } from "./state.js";

/** Makes room for a session of `bytes`: drops least recently used ones until it fits the limits. */
export function makeRoom(bytes: number): void {
  const { order } = engineState;
  let total = bytes;
  for (const compiled of order) total += compiled.bytes;
  const { cacheSize, cacheBytes } = engineConfig();
  while (order.size > 0 && (order.size >= cacheSize || total > cacheBytes)) {
    const oldest = order.values().next().value as Compiled;
    total -= oldest.bytes;
    dropSession(oldest);
  }
}

/** Marks a session as the most recently used one. */
export function touch(compiled: Compiled): void {
  engineState.order.delete(compiled);
  engineState.order.add(compiled);
}

/** Frees a session; whoever holds it compiles again when it is needed. */
export function dropSession(compiled: Compiled): void {
  if (!engineState.order.delete(compiled)) return;
  compiled.session.dispose();
  compiled.forget();
}

/** Drops every compiled session. */
export function clearCache(): void {
  for (const compiled of [...engineState.order]) dropSession(compiled);
}
