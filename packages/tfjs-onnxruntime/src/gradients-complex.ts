import { EngineError } from "./errors.js";
import { replaceGradient } from "./gradients-register.js";

/** Kernels that make or take complex numbers, with their inputs. tfjs has a gradient of ComplexAbs alone, the sign of the real part, which is wrong. */
const COMPLEX: Readonly<Record<string, readonly string[]>> = {
  Complex: ["real", "imag"],
  Real: ["input"],
  Imag: ["input"],
  ComplexAbs: ["x"],
  FFT: ["input"],
  IFFT: ["input"],
};

/** Refuses gradients through complex numbers by name: a gradient in tfjs's tape is float32 of the shape of its input, which has no room for two parts. */
export function registerComplexRefusals(): void {
  for (const [kernelName, inputs] of Object.entries(COMPLEX)) {
    const refuse = (): never => {
      throw new EngineError({
        code: "ENGINE_UNSUPPORTED",
        op: kernelName,
        message: `${kernelName} has no gradient: those of tfjs are float32, those of complex numbers would be complex.`,
        hint: "Use ops.fft of this package, which takes and gives real and imaginary parts, and compute with the parts.",
      });
    };
    replaceGradient({ kernelName, gradFunc: () => Object.fromEntries(inputs.map((name) => [name, refuse])) });
  }
}
