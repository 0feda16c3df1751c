import { KeyMap } from "@seg/nn";

const BLOCK = "^(model\\.backbone\\.conv_encoder\\.model)(?:\\.swin)?\\.(encoder\\.layers\\.\\d+\\.blocks\\.\\d+)";

/**
 * Module paths of adapters that transformers 5.x wrote for Swin (`...model.swin.encoder.layers.S.blocks.B.attention.q_proj`) in the spelling of
 * 4.x, which `GroundingDino` has (`...model.encoder.layers.S.blocks.B.attention.self.query`). Paths of 4.x pass unchanged. For
 * `loadAdapter(model, dir, { map: groundingDinoAdapterKeys })`.
 */
export const groundingDinoAdapterKeys = new KeyMap([
  { match: new RegExp(`${BLOCK}\\.attention\\.q_proj(?=\\.|$)`), rename: "$1.$2.attention.self.query" },
  { match: new RegExp(`${BLOCK}\\.attention\\.k_proj(?=\\.|$)`), rename: "$1.$2.attention.self.key" },
  { match: new RegExp(`${BLOCK}\\.attention\\.v_proj(?=\\.|$)`), rename: "$1.$2.attention.self.value" },
  { match: new RegExp(`${BLOCK}\\.attention\\.o_proj(?=\\.|$)`), rename: "$1.$2.attention.output.dense" },
  { match: new RegExp(`${BLOCK}\\.mlp\\.fc1(?=\\.|$)`), rename: "$1.$2.intermediate.dense" },
  { match: new RegExp(`${BLOCK}\\.mlp\\.fc2(?=\\.|$)`), rename: "$1.$2.output.dense" },
  { match: /^(model\.backbone\.conv_encoder\.model)\.swin\./, rename: "$1." },
]);
