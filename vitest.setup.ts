import process from "node:process";
import fc from "fast-check";

// Property tests draw the same examples on every machine; SEG_PROPERTY_SEED explores others.
fc.configureGlobal({ seed: Number(process.env["SEG_PROPERTY_SEED"] ?? 42) });
