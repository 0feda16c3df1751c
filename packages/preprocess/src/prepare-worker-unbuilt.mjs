// The thread of an unbuilt pool, in this repository: Node 20 runs `--import` in the main thread only, so the thread registers the
// TypeScript loader itself.
import { register } from "tsx/esm/api";

register();
await import("./prepare-worker.ts");
