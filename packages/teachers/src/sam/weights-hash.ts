export { weightsHash } from "@seg/nn";
