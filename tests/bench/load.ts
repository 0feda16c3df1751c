import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Loaded } from "./load-child.js";
import { type BenchResult, median } from "./result.js";

const RUNS = 3;
/** The second is longer than one string of Node can be (512 MB). */
const SIZES_MB = [100, 600] as const;

/** A COCO file of about `megabytes` MB: polygons of 8 to 50 vertices with two decimals, as in instances_train2017.json. */
function writeDocument(file: string, megabytes: number): void {
  const handle = openSync(file, "w");
  const images = 5000;
  let size = writeSync(handle, '{"info":{"description":"synthetic"},"licenses":[],"images":[');
  const records = Array.from(
    { length: images },
    (_, i) => `{"license":1,"file_name":"${String(i).padStart(12, "0")}.jpg","height":480,"width":640,"id":${i + 1}}`,
  );
  size += writeSync(handle, records.join(","));
  const categories = Array.from(
    { length: 80 },
    (_, i) => `{"supercategory":"thing","id":${i + 1},"name":"class ${i}"}`,
  );
  size += writeSync(handle, `],"categories":[${categories.join(",")}],"annotations":[`);
  let state = 1;
  const next = (n: number) => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
  for (let id = 1; size < megabytes * 1e6; ) {
    const batch: string[] = [];
    for (let i = 0; i < 1000; i++, id++) {
      const vertices = 8 + next(43);
      const part = Array.from({ length: 2 * vertices }, () => next(48000) / 100);
      batch.push(
        `{"segmentation":[[${part}]],"area":${next(900000) / 100},"iscrowd":0,"image_id":${1 + next(images)},"bbox":[${next(4000) / 10},${next(3000) / 10},${next(900) / 10},${next(900) / 10}],"category_id":${1 + next(80)},"id":${id}}`,
      );
    }
    size += writeSync(handle, (id === 1001 ? "" : ",") + batch.join(","));
  }
  writeSync(handle, "]}");
  closeSync(handle);
}

function measure(file: string, how: string): Loaded | null {
  const child = join(import.meta.dirname, "load-child.ts");
  const flags = ["--conditions=@seg/source", "--import", "tsx"];
  const { status, stdout } = spawnSync(process.execPath, [...flags, child, file, how], { encoding: "utf8" });
  return status === 0 ? (JSON.parse(stdout.trim().split("\n").at(-1)!) as Loaded) : null;
}

/** Loading beside JSON.parse of the same file, one fresh process per run; CPU-seconds from the path to the document. */
export async function load(): Promise<BenchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-load-"));
  const results: BenchResult[] = [];
  try {
    for (const megabytes of SIZES_MB) {
      const file = join(folder, `${megabytes}.json`);
      writeDocument(file, megabytes);
      const runs = Object.fromEntries(
        ["parse", "load", "iterate"].map((how) => [how, Array.from({ length: RUNS }, () => measure(file, how))]),
      ) as Record<"parse" | "load" | "iterate", (Loaded | null)[]>;
      const of = (how: "parse" | "load" | "iterate") => {
        const sound = runs[how].filter((run) => run !== null);
        if (sound.length < RUNS) return null;
        return {
          cpu: median(sound.map((run) => run.cpuMs)) / 1000,
          wall: median(sound.map((run) => run.wallMs)) / 1000,
          peak: Math.round(Math.max(...sound.map((run) => run.peakMb))),
        };
      };
      const parse = of("parse");
      for (const how of ["load", "iterate"] as const) {
        const own = of(how);
        if (own === null) throw new Error(`${how} of ${megabytes} MB failed.`);
        const peer = parse === null ? "JSON.parse cannot hold the file" : `JSON.parse peak ${parse.peak} MB`;
        results.push({
          bench: "load",
          case: `${how === "load" ? "loadDataset" : "streamDataset"} ${megabytes} MB`,
          value: own.cpu,
          unit: "CPU-s",
          note: `wall ${own.wall.toFixed(2)} s, peak RSS ${own.peak} MB, ${peer}`,
          ...(parse === null
            ? {}
            : { peer: "JSON.parse of the file", peerValue: parse.cpu, ratio: own.cpu / parse.cpu }),
        });
      }
      rmSync(file);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return results;
}
