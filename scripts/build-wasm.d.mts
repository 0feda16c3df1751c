export function compileKernels(folder: string): Promise<Buffer>;
export function kernelsModule(binary: Buffer): string;
