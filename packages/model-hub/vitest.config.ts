import base from "../../vitest.package.js";

/**
 * vitest hands these conditions to Node for modules that it does not transform. `import` among them would make `require("pg-pool")` inside
 * `pg` load the ESM build, whose class sits under `default`.
 */
export default { ...base, ssr: { resolve: { ...base.ssr?.resolve, conditions: ["@seg/source", "node"] } } };
