import type { DownloadProgress } from "../download/progress.js";
import type { CliIo } from "./command.js";

/** A bar on a terminal, one line per 10 % elsewhere. */
export function createProgressPrinter(io: CliIo): (progress: DownloadProgress) => void {
  let lastTenth = -1;
  return ({ phase, doneBytes, totalBytes, filesDone, filesTotal, bytesPerS, etaS }) => {
    const share = totalBytes === null || totalBytes === 0 ? 0 : doneBytes / totalBytes;
    const speed = bytesPerS === null ? "" : ` ${(bytesPerS / 1e6).toFixed(1)} MB/s`;
    const eta = etaS === null ? "" : ` ${Math.ceil(etaS)} s left`;
    const text = `${Math.floor(share * 100)}% ${filesDone}/${filesTotal} files${speed}${eta}`;
    if (io.isTerminal) {
      const bar = "#".repeat(Math.round(share * 30)).padEnd(30, ".");
      io.err(`\r\u001b[K[${bar}] ${text}${phase === "done" ? "\n" : ""}`);
      return;
    }
    // The last line is that of the end, which alone counts every file as done.
    const tenth = phase === "done" ? 10 : Math.min(9, Math.floor(share * 10));
    if (tenth > lastTenth && phase !== "resolving") io.err(`${text}\n`);
    lastTenth = Math.max(lastTenth, tenth);
  };
}
