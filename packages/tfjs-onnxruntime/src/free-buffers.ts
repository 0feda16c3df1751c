import { MessageChannel, type MessagePort } from "node:worker_threads";

let nowhere: MessagePort | null = null;

/**
 * Frees the memory of buffers at once instead of when they are collected: transferred to a closed port, they are detached
 * and dropped. Arrays over them have no elements afterwards. (`ArrayBuffer.prototype.transfer` would need Node 22.)
 */
export function freeBuffers(buffers: readonly ArrayBuffer[]): void {
  if (nowhere === null) {
    nowhere = new MessageChannel().port1;
    nowhere.close();
  }
  nowhere.postMessage(null, [...buffers]);
}
