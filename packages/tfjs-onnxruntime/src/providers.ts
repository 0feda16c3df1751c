import { EngineError } from "./errors.js";
import { nearestName } from "./nearest-name.js";
import { loadRuntime, loadSession, type NativeSession, ortTensor, probeModel } from "./runtime.js";
import { engineConfig } from "./settings.js";
import { engineState } from "./state.js";

/** Execution providers that onnxruntime-node knows on some platform. */
export type ExecutionProvider = "cpu" | "cuda" | "tensorrt" | "webgpu" | "coreml" | "dml";

/** A provider by name, or with options that onnxruntime-node reads. */
export type ProviderRequest =
  | ExecutionProvider
  | { readonly name: "cpu"; readonly useArena?: boolean }
  | { readonly name: "cuda" | "tensorrt" | "dml"; readonly deviceId?: number }
  | { readonly name: "coreml"; readonly coreMlFlags?: number }
  | { readonly name: "webgpu"; readonly preferredLayout?: "NCHW" | "NHWC" };

/** A provider that was asked for and is not used, with the runtime's reason and what to do about it. */
export interface RefusedProvider {
  readonly provider: ExecutionProvider;
  readonly reason: string;
  readonly hint: string | null;
}

/** What became of the requested providers. */
export interface ProviderState {
  /** In order of preference; `cpu` is last. */
  readonly used: readonly ProviderRequest[];
  readonly refused: readonly RefusedProvider[];
}

const options: Readonly<Record<ExecutionProvider, readonly string[]>> = {
  cpu: ["useArena"],
  cuda: ["deviceId"],
  tensorrt: ["deviceId"],
  webgpu: ["preferredLayout"],
  coreml: ["coreMlFlags"],
  dml: ["deviceId"],
};

/**
 * `com.microsoft` operators that the engine emits and for which a provider has its own kernel (onnxruntime 1.30, tables of its
 * documentation). Where one lacks them the node would run on the cpu with copies, so plain operators are emitted instead.
 * cpu is measured; the others are not.
 */
const contribKernels: Readonly<Record<ExecutionProvider, readonly string[]>> = {
  cpu: ["FusedMatMul", "QuickGelu", "Gelu", "CropAndResize"],
  cuda: ["FusedMatMul", "QuickGelu", "Gelu"],
  dml: ["FusedMatMul", "QuickGelu", "Gelu"],
  webgpu: ["QuickGelu", "Gelu"],
  tensorrt: [],
  coreml: [],
};

const known = Object.keys(options) as ExecutionProvider[];

export const providerName = (request: ProviderRequest): ExecutionProvider =>
  typeof request === "string" ? request : request.name;

/** What is wrong with a list of providers, null if nothing. */
export function providerProblem(value: unknown): string | null {
  if (!Array.isArray(value) || value.length === 0) return `must be a list of providers (${known.join(", ")})`;
  const seen = new Set<string>();
  for (const request of value as unknown[]) {
    const name = typeof request === "string" ? request : (request as { name?: unknown } | null)?.name;
    if (typeof name !== "string") return "must hold provider names or objects with a name";
    if (!Object.hasOwn(options, name)) {
      return `has no provider "${name}"; did you mean "${nearestName(name, known)}"? Known are ${known.join(", ")}`;
    }
    if (seen.has(name)) return `names "${name}" twice`;
    seen.add(name);
    if (typeof request === "string") continue;
    for (const key of Object.keys(request as object)) {
      const allowed = options[name as ExecutionProvider];
      if (key !== "name" && !allowed.includes(key)) {
        return `has an unknown option "${key}" for ${name}; did you mean "${nearestName(key, allowed)}"`;
      }
    }
  }
  return null;
}

/** What a user can do when a provider does not start here. */
function remedy(provider: ExecutionProvider): string | null {
  if (provider === "coreml") return process.platform === "darwin" ? null : "CoreML exists on macOS only.";
  if (provider === "dml") return process.platform === "win32" ? null : "DirectML exists on Windows only.";
  if (provider === "webgpu") return "It needs a GPU with a Vulkan, Metal or D3D12 driver.";
  if (provider === "cpu") return null;
  if (process.platform !== "linux" || process.arch !== "x64") return "CUDA libraries exist for Linux x64 only.";
  return (
    "Install CUDA 12 and cuDNN 9, then fetch the libraries: " +
    "ONNXRUNTIME_NODE_INSTALL=true node node_modules/onnxruntime-node/script/install.js."
  );
}

/** Loads and runs the probe on one provider alone; null if it works. */
function refusal(request: ProviderRequest): RefusedProvider | null {
  let session: NativeSession | null = null;
  try {
    session = loadSession({ model: probeModel, providers: [request] });
    session.run({ x: ortTensor("float32", Float32Array.of(1), [1]) }, { y: null }, {});
    return null;
  } catch (error) {
    if (error instanceof EngineError) throw error;
    const provider = providerName(request);
    return { provider, reason: firstLine((error as Error).message), hint: remedy(provider) };
  } finally {
    session?.dispose();
  }
}

/** Runtime messages name source positions and may go on for a page. */
function firstLine(message: string): string {
  return message
    .replaceAll(/\/\S*onnxruntime\/\S+\s+/g, "")
    .split("\n")[0]!
    .trim()
    .slice(0, 300);
}

function probe(requests: readonly ProviderRequest[]): ProviderState {
  loadRuntime();
  const used: ProviderRequest[] = [];
  const refused: RefusedProvider[] = [];
  for (const request of requests) {
    if (providerName(request) === "cpu") {
      used.push(request);
      break;
    }
    const reason = refusal(request);
    if (reason === null) used.push(request);
    else refused.push(reason);
  }
  if (!used.some((request) => providerName(request) === "cpu")) used.push("cpu");
  return { used, refused };
}

function strictError({ provider, reason, hint }: RefusedProvider): EngineError {
  return new EngineError({
    code: "ENGINE_PROVIDER",
    message: `Execution provider "${provider}" cannot be used (strict): ${reason}.`,
    hint: hint ?? "Leave it out of executionProviders, or set strict: false to fall back.",
  });
}

/** @throws {@link EngineError} `ENGINE_PROVIDER` unless every requested provider starts */
export function requireProviders(requests: readonly ProviderRequest[]): void {
  const [first] = probe(requests).refused;
  if (first !== undefined) throw strictError(first);
}

/** Forgets what was found about providers; the next session asks again. */
export function resetProviders(): void {
  engineState.providers = null;
}

/** The providers that start, found once per setting; a warning (one line) names those that do not. */
export function currentProviders(): ProviderState {
  if (engineState.providers !== null) return engineState.providers;
  const { executionProviders, strict } = engineConfig();
  const state = probe(executionProviders);
  if (strict && state.refused.length > 0) throw strictError(state.refused[0]!);
  engineState.providers = state;
  for (const { provider, reason } of state.refused) warn(provider, reason);
  return state;
}

function warn(provider: ExecutionProvider, reason: string): void {
  process.emitWarning(`Execution provider "${provider}" is not used: ${reason}`, { code: "SEG_ENGINE_PROVIDER" });
}

/** The error of a provider that refused a graph with `strict`, null without. */
export function strictRefusal(provider: ExecutionProvider, cause: unknown): EngineError | null {
  if (!engineConfig().strict) return null;
  return strictError({ provider, reason: graphReason(cause), hint: null });
}

const graphReason = (cause: unknown): string => `refused a graph: ${firstLine((cause as Error).message)}`;

/** Records that the first `count` providers in use refused a graph which the next one took; until the next `configure` they rest. */
export function dropProviders(count: number, cause: unknown): void {
  const { used, refused } = currentProviders();
  const reason = graphReason(cause);
  const dropped = used
    .slice(0, count)
    .map((request): RefusedProvider => ({ provider: providerName(request), reason, hint: null }));
  for (const { provider } of dropped) warn(provider, reason);
  engineState.providers = { used: used.slice(count), refused: [...refused, ...dropped] };
}

/**
 * The `com.microsoft` operators that recorded graphs may have: those of every accelerator in use, or of the cpu where it is alone;
 * none with `configure({ contrib: false })`.
 */
export function contribOperators(): ReadonlySet<string> {
  if (!engineConfig().contrib) return new Set();
  const [first, ...others] = currentProviders().used.map(providerName);
  const shared = (contribKernels[first!] ?? []).filter((operator) =>
    others.every((provider) => provider === "cpu" || contribKernels[provider].includes(operator)),
  );
  return new Set(shared);
}
