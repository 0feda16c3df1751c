/** Registers every kernel: importing this module is a side effect; what no module takes is delegated. */
import "./activation.js";
import "./complex.js";
import "./conv.js";
import "./conv3d.js";
import { delegateTheRest } from "./define.js";
import "./depthwise.js";
import "./einsum.js";
import "./elementwise.js";
import "./gather.js";
import "./grouped-conv.js";
import "./image.js";
import "./matmul.js";
import "./norm.js";
import "./pool.js";
import "./reduce.js";
import "./resize.js";
import "./scatter.js";
import "./shape.js";

delegateTheRest();
