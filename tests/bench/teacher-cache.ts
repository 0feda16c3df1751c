import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { BenchResult } from "./result.js";

const IMAGES = 2000;
/** Answers after which the first process is killed. */
const KILL_AT = 700;

interface End {
  readonly calls: number;
  readonly rss: readonly number[];
  readonly cpuSeconds: number;
}

/** One process that fills the cache; killed without warning once it has said `killAt`. */
function fill(folder: string, { killAt = null }: { killAt?: number | null } = {}): Promise<End | { calls: number }> {
  const script = fileURLToPath(new URL("./teacher-cache-child.ts", import.meta.url));
  const child = spawn(
    process.execPath,
    ["--expose-gc", "--conditions=@seg/source", "--import", "tsx", script, folder, String(IMAGES)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  return new Promise((resolve, reject) => {
    let text = "";
    let last = { calls: 0 };
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const said = JSON.parse(line) as { kind?: string; done?: number; calls: number };
        last = said;
        if (killAt !== null && said.kind === "masks" && said.done! >= killAt) child.kill("SIGKILL");
      }
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") resolve(last);
      else reject(new Error(`teacher-cache-child.ts ended with code ${code}.`));
    });
  });
}

/** 2,000 images: is memory constant, is nothing asked twice after a kill, does a flipped bit cost one answer. Boxes and four masks of 256 x 256 an image. */
export async function teacherCache(): Promise<BenchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-teacher-cache-"));
  try {
    mkdirSync(join(folder, "images"));
    for (let i = 0; i < IMAGES; i++) {
      const data = Buffer.alloc(64 * 64 * 3, i & 255);
      data[1] = i >> 8;
      const png = sharp(data, { raw: { width: 64, height: 64, channels: 3 } }).png({ compressionLevel: 1 });
      await png.toFile(join(folder, "images", `${String(i).padStart(5, "0")}.png`));
    }
    const killed = await fill(folder, { killAt: KILL_AT });
    const resumed = (await fill(folder)) as End;
    const cache = join(folder, "cache");
    const shards = readdirSync(cache).filter((name) => name.endsWith(".bin"));
    const bytes = shards.reduce((sum, name) => sum + statSync(join(cache, name)).size, 0);
    const victim = join(cache, shards[1]!);
    const content = readFileSync(victim);
    content[Math.floor(content.length / 3)]! ^= 16;
    writeFileSync(victim, content);
    const repaired = (await fill(folder)) as End;
    const clean = (await fill(folder)) as End;
    const half = Math.floor(resumed.rss.length / 2);
    const mean = (list: readonly number[]) => list.reduce((sum, v) => sum + v, 0) / list.length;
    const [first, second] = [mean(resumed.rss.slice(2, half)), mean(resumed.rss.slice(half))];
    const result = (name: string, value: number, unit: string, note: string): BenchResult => ({
      ...{ bench: "teacher-cache", case: name, value, unit, note },
    });
    return [
      result(
        `RSS over ${IMAGES} images, second half of the run against the first`,
        second / first,
        "",
        `mean ${first.toFixed(0)} -> ${second.toFixed(0)} MB, largest ${Math.max(...resumed.rss).toFixed(0)} MB; no V8 limit set`,
      ),
      result(
        "answers asked twice after a SIGKILL",
        killed.calls + resumed.calls - 2 * IMAGES,
        "",
        `killed after at least ${killed.calls}, ${resumed.calls} by the next process, ${2 * IMAGES} in all (boxes and masks); 1 may have been under way, up to 100 unreported ones count against it`,
      ),
      result("answers that one flipped bit costs", repaired.calls, "", `and ${clean.calls} in the run after that`),
      result(
        "CPU of a run that finds everything",
        (clean.cpuSeconds / IMAGES) * 1000,
        "ms/image",
        "reading, hashing and comparing every record; start of the process included",
      ),
      result("size", bytes / IMAGES / 1e3, "kB/image", `${shards.length} shards, ${(bytes / 1e6).toFixed(0)} MB`),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
