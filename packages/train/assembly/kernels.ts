// AssemblyScript. Updates of parameters with 128-bit SIMD; `npm run build:wasm -- packages/train src/kernels/wasm.ts`
// compiles them. Storage is float32, arithmetic float64 in the order of the TypeScript kernels, so the bits are equal. Counts
// are multiples of 4; the caller pads with zeros.

// @ts-nocheck: types and intrinsics are AssemblyScript's.

function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
}

function join(a: v128, b: v128): v128 {
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 2);
}

export function adamw(
  value: usize,
  grad: usize,
  m: usize,
  v: usize,
  next: usize,
  count: i32,
  scale: f64,
  beta1: f64,
  beta2: f64,
  keep: f64,
  stepSize: f64,
  inverseRoot: f64,
  eps: f64,
): void {
  const vScale = f64x2.splat(scale);
  const vBeta1 = f64x2.splat(beta1);
  const vBeta2 = f64x2.splat(beta2);
  const vRest1 = f64x2.splat(1 - beta1);
  const vRest2 = f64x2.splat(1 - beta2);
  const vKeep = f64x2.splat(keep);
  const vStep = f64x2.splat(stepSize);
  const vRoot = f64x2.splat(inverseRoot);
  const vEps = f64x2.splat(eps);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const p4 = v128.load(value + i);
    const g4 = v128.load(grad + i);
    const m4 = v128.load(m + i);
    const v4 = v128.load(v + i);
    let g = f64x2.mul(low(g4), vScale);
    const mean0 = f64x2.add(f64x2.mul(vBeta1, low(m4)), f64x2.mul(vRest1, g));
    const square0 = f64x2.add(f64x2.mul(vBeta2, low(v4)), f64x2.mul(f64x2.mul(vRest2, g), g));
    const next0 = f64x2.sub(
      f64x2.mul(low(p4), vKeep),
      f64x2.div(f64x2.mul(vStep, mean0), f64x2.add(f64x2.mul(f64x2.sqrt(square0), vRoot), vEps)),
    );
    g = f64x2.mul(high(g4), vScale);
    const mean1 = f64x2.add(f64x2.mul(vBeta1, high(m4)), f64x2.mul(vRest1, g));
    const square1 = f64x2.add(f64x2.mul(vBeta2, high(v4)), f64x2.mul(f64x2.mul(vRest2, g), g));
    const next1 = f64x2.sub(
      f64x2.mul(high(p4), vKeep),
      f64x2.div(f64x2.mul(vStep, mean1), f64x2.add(f64x2.mul(f64x2.sqrt(square1), vRoot), vEps)),
    );
    v128.store(m + i, join(mean0, mean1));
    v128.store(v + i, join(square0, square1));
    v128.store(next + i, join(next0, next1));
  }
}

function sgdHalf(p: v128, d: v128, b: v128, lr: v128, mu: v128, nesterov: bool): v128 {
  return f64x2.sub(p, f64x2.mul(lr, nesterov ? f64x2.add(d, f64x2.mul(mu, b)) : b));
}

/** With `buffer` 0: no momentum. */
export function sgd(
  value: usize,
  grad: usize,
  buffer: usize,
  next: usize,
  count: i32,
  scale: f64,
  decay: f64,
  carry: f64,
  mu: f64,
  lr: f64,
  nesterov: bool,
): void {
  const vScale = f64x2.splat(scale);
  const vDecay = f64x2.splat(decay);
  const vCarry = f64x2.splat(carry);
  const vMu = f64x2.splat(mu);
  const vLr = f64x2.splat(lr);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const p4 = v128.load(value + i);
    const g4 = v128.load(grad + i);
    const p0 = low(p4);
    const p1 = high(p4);
    const d0 = f64x2.add(f64x2.mul(low(g4), vScale), f64x2.mul(vDecay, p0));
    const d1 = f64x2.add(f64x2.mul(high(g4), vScale), f64x2.mul(vDecay, p1));
    let b0 = d0;
    let b1 = d1;
    if (buffer !== 0) {
      const b4 = v128.load(buffer + i);
      b0 = f64x2.add(f64x2.mul(vCarry, low(b4)), d0);
      b1 = f64x2.add(f64x2.mul(vCarry, high(b4)), d1);
      v128.store(buffer + i, join(b0, b1));
    }
    v128.store(next + i, join(sgdHalf(p0, d0, b0, vLr, vMu, nesterov), sgdHalf(p1, d1, b1, vLr, vMu, nesterov)));
  }
}

export function moveTowards(average: usize, current: usize, count: i32, rate: f64): void {
  const vRate = f64x2.splat(rate);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const e4 = v128.load(average + i);
    const x4 = v128.load(current + i);
    const e0 = low(e4);
    const e1 = high(e4);
    v128.store(
      average + i,
      join(
        f64x2.add(e0, f64x2.mul(vRate, f64x2.sub(low(x4), e0))),
        f64x2.add(e1, f64x2.mul(vRate, f64x2.sub(high(x4), e1))),
      ),
    );
  }
}

/** Adds to the partial sums at `sums`: 4 of squares, 4 of magnitudes (float64), and the 4 largest magnitudes (float32). */
export function magnitudes(values: usize, count: i32, sums: usize): void {
  let square0 = v128.load(sums);
  let square1 = v128.load(sums, 16);
  let sum0 = v128.load(sums, 32);
  let sum1 = v128.load(sums, 48);
  let max = v128.load(sums, 64);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const g = f32x4.abs(v128.load(values + i));
    const g0 = low(g);
    const g1 = high(g);
    square0 = f64x2.add(square0, f64x2.mul(g0, g0));
    square1 = f64x2.add(square1, f64x2.mul(g1, g1));
    sum0 = f64x2.add(sum0, g0);
    sum1 = f64x2.add(sum1, g1);
    max = f32x4.pmax(max, g);
  }
  v128.store(sums, square0);
  v128.store(sums, square1, 16);
  v128.store(sums, sum0, 32);
  v128.store(sums, sum1, 48);
  v128.store(sums, max, 64);
}
