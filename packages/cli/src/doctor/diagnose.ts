import type { FolderFacts, Machine } from "./machine.js";

/** `ok`: as it should be; `note`: works, but something could be had; `problem`: seg cannot be used until it is mended. */
export type State = "ok" | "note" | "problem";

/** One line of the doctor. */
export interface Diagnosis {
  readonly what: string;
  readonly state: State;
  readonly detail: string;
  /** What to do; null where nothing needs to be done. */
  readonly todo: string | null;
}

/** Oldest Node.js that the packages run on. */
const NODE = [20, 20] as const;
const GB = 1e9;
/** Free disk below which a run may end for lack of space, and below which nothing useful fits. */
const [LOW_DISK, NO_DISK] = [5 * GB, 0.2 * GB];
/** A training step of the smallest student at 320 px takes half a gigabyte, the process as much again. */
const [LOW_MEMORY, NO_MEMORY] = [4 * GB, 1 * GB];

const ok = (what: string, detail: string): Diagnosis => ({ what, state: "ok", detail, todo: null });
const note = (what: string, detail: string, todo: string): Diagnosis => ({ what, state: "note", detail, todo });
const problem = (what: string, detail: string, todo: string): Diagnosis => ({ what, state: "problem", detail, todo });
const gigabytes = (bytes: number): string => `${(bytes / GB).toPrecision(2)} GB`;

/** What a piece of work takes. */
export interface PlannedWork {
  /** "training yolov8n at 320 px in batches of 8". */
  readonly what: string;
  /** Peak of the process; null where nobody measured it. */
  readonly memoryBytes: number | null;
  readonly diskBytes: number;
}

/**
 * What is well on a machine, what could be better and what must be mended, each with what to do.
 *
 * @param work - what memory and disk are held against; null: the smallest work there is
 */
export function diagnose(machine: Machine, { work = null }: { work?: PlannedWork | null } = {}): Diagnosis[] {
  return [
    nodeVersion(machine),
    npmVersion(machine),
    ...packages(machine),
    runtime(machine),
    images(machine),
    simd(machine),
    cpu(machine),
    memory(machine, work),
    gpu(machine),
    cuda(machine),
    tensorRt(machine),
    folder("working folder", machine.folders.work, {
      work,
      mend: "Change to a folder that you may write to, or give the commands another --output.",
    }),
    folder("model cache", machine.folders.cache, { mend: "Set SEG_HUB_HOME to a folder that you may write to." }),
    models(machine),
    network(machine),
    ok("Python", "not needed, and not looked for"),
  ];
}

function nodeVersion({ node, platform }: Machine): Diagnosis {
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const isOld = major < NODE[0] || (major === NODE[0] && minor < NODE[1]);
  const detail = `${node} on ${platform}`;
  return isOld
    ? problem(
        "Node.js",
        detail,
        `Install Node.js ${NODE.join(".")} or newer, for example from nodejs.org or with nvm install 22.`,
      )
    : ok("Node.js", detail);
}

const npmVersion = ({ npm }: Machine): Diagnosis =>
  npm === null
    ? note(
        "npm",
        "none on PATH",
        "Nothing, to run seg; to install or update packages, take the npm that comes with Node.js.",
      )
    : ok("npm", npm);

function packages({ packages: versions }: Machine): Diagnosis[] {
  const optional = Object.entries(versions).filter(([name]) => name.startsWith("@tensorflow/tfjs-"));
  const needed = Object.entries(versions).filter(([name]) => !name.startsWith("@tensorflow/tfjs-"));
  const missing = needed.filter(([, version]) => version === null).map(([name]) => name);
  const shown = needed.map(([name, version]) => `${name} ${version ?? "missing"}`).join(", ");
  const extra = optional.flatMap(([name, version]) =>
    version === null ? [] : [`${name} ${version} (SEG_ENGINE=${name.endsWith("wasm") ? "wasm" : "tensorflow"})`],
  );
  return [
    missing.length > 0
      ? problem("packages", shown, `Install again: npm install (missing: ${missing.join(", ")}).`)
      : ok("packages", shown),
    extra.length > 0
      ? ok("other engines", `${extra.join(", ")}; ONNX Runtime is the engine unless you say so`)
      : ok(
          "other engines",
          "tfjs-node and tfjs-node-gpu are not installed, and not needed: ONNX Runtime is the engine",
        ),
  ];
}

function runtime({ runtime: facts }: Machine): Diagnosis {
  if ("error" in facts) {
    return problem(
      "ONNX Runtime",
      facts.error,
      "Install it again: ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node (x64 or arm64, glibc 2.28 or newer; Alpine has no build).",
    );
  }
  const known = facts.providers.map(({ name }) => name);
  const works = Object.entries(facts.tried).filter(([, reason]) => reason === null);
  const refused = Object.entries(facts.tried).flatMap(([name, reason]) =>
    reason === null ? [] : [`${name}: ${reason}`],
  );
  const untried = known.filter((name) => !Object.hasOwn(facts.tried, name));
  const detail = [
    `${facts.version}, native library loads; works: ${works.map(([name]) => name).join(", ")}`,
    ...(untried.length === 0 ? [] : [`known to this build, not tried: ${untried.join(", ")}`]),
    ...(refused.length === 0 ? [] : [`refused: ${refused.join("; ")}`]),
  ].join("; ");
  return refused.length === 0
    ? ok("ONNX Runtime", detail)
    : note(
        "ONNX Runtime",
        detail,
        "For the GPU, with CUDA 12 and cuDNN 9: ONNXRUNTIME_NODE_INSTALL=true node node_modules/onnxruntime-node/script/install.js",
      );
}

const images = ({ images: facts }: Machine): Diagnosis =>
  "error" in facts
    ? problem("images (sharp)", facts.error, "Install it again with its library: npm install --include=optional sharp")
    : ok("images (sharp)", `libvips ${facts.vips}, reads ${facts.formats.join(", ")}`);

const simd = ({ wasmSimd }: Machine): Diagnosis =>
  wasmSimd
    ? ok("WebAssembly", "SIMD works")
    : note(
        "WebAssembly",
        "no SIMD: masks and resizing are several times slower",
        "Use a newer CPU or Node.js without --no-wasm-simd.",
      );

function cpu({ cpu: { model, features, cores, quota }, platform }: Machine): Diagnosis {
  const limited = quota !== null && quota < cores ? `, of which a control group grants ${quota.toPrecision(2)}` : "";
  const detail = `${model}, ${cores} core${cores === 1 ? "" : "s"}${limited}; ${features.length === 0 ? "no known vector features" : features.join(", ")}`;
  if (platform.endsWith("arm64") || features.includes("avx2")) {
    const hasDot = features.some((feature) => /vnni|amx_int8|asimddp|i8mm/.test(feature));
    return hasDot
      ? ok("CPU", `${detail}; INT8 is fast here`)
      : note(
          "CPU",
          detail,
          "INT8 models may be no faster than float ones here (no VNNI): measure them on the device they are for.",
        );
  }
  return note(
    "CPU",
    detail,
    "Without AVX2 training takes several times as long: train on another machine, run the exported models here.",
  );
}

function memory({ memory: { totalBytes, availableBytes } }: Machine, work: PlannedWork | null): Diagnosis {
  const detail = `${gigabytes(availableBytes)} free of ${gigabytes(totalBytes)}`;
  const needed = work?.memoryBytes ?? null;
  if (needed !== null) {
    const against = `${detail}; ${work!.what} takes about ${gigabytes(needed)}`;
    return needed > availableBytes
      ? problem("memory", against, "End other programs, or decide smaller: seg run --set batch=4 image_size=320.")
      : ok("memory", against);
  }
  if (availableBytes < NO_MEMORY)
    return problem("memory", detail, "End other programs or raise the limit: the smallest training takes 1 GB.");
  return availableBytes < LOW_MEMORY
    ? note(
        "memory",
        detail,
        "Use small batches and images: seg run plans for what is free; large teachers will not fit.",
      )
    : ok("memory", detail);
}

const CUDA_LIBRARIES =
  "Install CUDA 12 and cuDNN 9 (put their folders into LD_LIBRARY_PATH), then: ONNXRUNTIME_NODE_INSTALL=true node node_modules/onnxruntime-node/script/install.js";

function gpu({ gpus, runtime: facts }: Machine): Diagnosis {
  if (gpus === null) return ok("GPU", "no NVIDIA GPU found; training and inference run on the CPU");
  const works = !("error" in facts) && facts.tried["cuda"] === null;
  return works
    ? ok("GPU", `${gpus.join(", ")}; ONNX Runtime can use it: --gpu 0`)
    : note("GPU", `${gpus.join(", ")}; this installation of ONNX Runtime cannot use it`, CUDA_LIBRARIES);
}

function cuda({ nvcc, cudart, cudnn, gpus }: Machine): Diagnosis {
  const detail = [`compiler ${nvcc ?? "none"}`, `runtime ${cudart ?? "none"}`, `cuDNN ${cudnn ?? "none"}`].join(", ");
  if (gpus !== null) {
    return cudart === null || cudnn === null ? note("CUDA", detail, CUDA_LIBRARIES) : ok("CUDA", detail);
  }
  return nvcc === null && cudart === null
    ? ok("CUDA", "none, and not needed without a GPU")
    : note(
        "CUDA",
        `${detail}, but nvidia-smi finds no GPU`,
        "Nothing, if this machine has none. If it has one, install its driver so that nvidia-smi lists it.",
      );
}

const tensorRt = ({ trtexec, gpus }: Machine): Diagnosis =>
  trtexec !== null
    ? ok("TensorRT", `trtexec at ${trtexec}`)
    : gpus === null
      ? ok(
          "TensorRT",
          "no trtexec; engines are built on the device that runs them, seg optimize writes the ONNX file for it",
        )
      : note(
          "TensorRT",
          "no trtexec",
          "To build engines here, install TensorRT and put trtexec on PATH, or name it in TRTEXEC.",
        );

function folder(
  what: string,
  { path, freeBytes, isWritable }: FolderFacts,
  { mend, work = null }: { mend: string; work?: PlannedWork | null },
): Diagnosis {
  const detail = `${path}, ${freeBytes === null ? "free space unknown" : `${gigabytes(freeBytes)} free`}`;
  if (!isWritable) return problem(what, `${detail}, not writable`, mend);
  if (freeBytes !== null && freeBytes < Math.max(NO_DISK, work?.diskBytes ?? 0)) {
    return problem(
      what,
      detail,
      work === null
        ? "Free some space: even a small run leaves 100 MB."
        : `Free some space: ${work.what} leaves about ${gigabytes(work.diskBytes)}.`,
    );
  }
  return freeBytes !== null && freeBytes < LOW_DISK
    ? note(what, detail, "Keep an eye on it: published teachers take up to 2.6 GB, caches of a run some hundred MB.")
    : ok(what, detail);
}

function models({ models: known, isOffline }: Machine): Diagnosis {
  if ("error" in known) {
    return note(
      "models",
      `the cache cannot be read: ${known.error}`,
      "Set SEG_HUB_HOME and HF_HOME to folders that you may read.",
    );
  }
  const half = known.filter(({ incompleteBytes }) => incompleteBytes > 0).map(({ id }) => id);
  const whole = known.filter(({ bytes }) => bytes > 0).map(({ id, bytes }) => `${id} ${gigabytes(bytes)}`);
  const detail =
    whole.length === 0 ? "none fetched; the small teachers of this toolkit are always there" : whole.join(", ");
  if (half.length === 0) return ok("models", detail);
  return note(
    "models",
    `${detail}; begun and not ended: ${half.join(", ")}`,
    isOffline
      ? "Go online to fetch the rest: unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE."
      : "Fetch them again: what is there is kept. seg-hub prune removes it.",
  );
}

function network({ tokens, isOffline }: Machine): Diagnosis {
  const words = Object.entries(tokens).map(([name, isThere]) => `token of ${name}: ${isThere ? "there" : "none"}`);
  const mode = isOffline ? "offline (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set): nothing is fetched" : "not asked";
  return ok("network", `${mode}; ${words.join(", ")} (for gated models alone)`);
}

/** Whether seg can be used: nothing is a problem. */
export const isUsable = (list: readonly Diagnosis[]): boolean => list.every(({ state }) => state !== "problem");
