/** Rewrites of recorded graphs, each with a switch: `configure({ passes: { layout: false } })`. All are on by default. */
export interface Passes {
  /** NHWC programs run as chains of NCHW operators; off: every convolution and pool is put between two transposes. */
  readonly layout: boolean;
  /** Equal nodes of equal inputs are computed once. */
  readonly commonSubexpressions: boolean;
  /** `ops.*` as single kernels with gradients of their own; off: plain tfjs operations with tfjs's gradients. */
  readonly fusedOps: boolean;
  /** Filter gradients by a strategy per shape; off: one product per image and tap, then a sum over images. */
  readonly filterGradient: boolean;
  /** The factor per channel that a batch normalisation's gradient ends with goes into the filter of the convolution behind it. */
  readonly channelScale: boolean;
  /** Transposed operands of products become flags of Gemm and FusedMatMul. */
  readonly matmulTransposes: boolean;
  /** What a compiled function makes from nothing becomes an initializer, so that the runtime folds it; off: it is fed. */
  readonly constants: boolean;
  /** Small inputs and outputs of a compiled function are bound as one vector each. */
  readonly packedState: boolean;
}

/** Every pass, switched on: the default of `configure({ passes })`. */
export const ALL_PASSES: Passes = {
  layout: true,
  commonSubexpressions: true,
  fusedOps: true,
  filterGradient: true,
  channelScale: true,
  matmulTransposes: true,
  constants: true,
  packedState: true,
};

/** What is wrong with a value of `configure({ passes })`, null if nothing. */
export function passesProblem(value: unknown): string | null {
  const known = Object.keys(ALL_PASSES);
  const expected = `must be an object of switches (${known.join(", ")})`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return expected;
  for (const [name, flag] of Object.entries(value)) {
    if (!known.includes(name) || typeof flag !== "boolean") return expected;
  }
  return null;
}
