import {
  at,
  BatchNorm2d,
  Conv2d,
  ConvTranspose2d,
  type InitContext,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
} from "@seg/nn";
import * as tf from "@tensorflow/tfjs";

/** Module kinds and names as in the teachers, small enough for exact checks. */
class ToyAttention extends Module {
  q_proj: Linear;
  k_proj: Linear;
  v_proj: Linear;
  proj: Linear;

  constructor(init: InitContext) {
    super();
    const linear = (name: string, bias = true) =>
      new Linear({ inFeatures: 4, outFeatures: 4, bias, init: at(init, name) });
    this.q_proj = linear("q_proj");
    this.k_proj = linear("k_proj", false);
    this.v_proj = linear("v_proj");
    this.proj = linear("proj");
  }

  forward(x: tf.Tensor): tf.Tensor {
    const weights = tf.softmax(tf.matMul(this.q_proj.forward(x), this.k_proj.forward(x), false, true));
    return this.proj.forward(tf.matMul(weights, this.v_proj.forward(x)));
  }
}

class ToyLayer extends Module {
  self_attn: ToyAttention;
  norm: LayerNorm;

  constructor(init: InitContext) {
    super();
    this.self_attn = new ToyAttention(at(init, "self_attn"));
    this.norm = new LayerNorm({ features: 4 });
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.norm.forward(tf.add(x, this.self_attn.forward(x)));
  }
}

/** conv [B,8,8,3] -> [B,4,4,4] -> 16 tokens -> layers -> upscale. */
export class ToyModel extends Module {
  conv: Conv2d;
  bn: BatchNorm2d;
  layers: ModuleList<ToyLayer>;
  upscale: ConvTranspose2d;
  head: Linear;
  tied_head: Linear;

  constructor(seed = 0) {
    super();
    const init = { seed, path: "toy" };
    this.conv = new Conv2d({
      inChannels: 3,
      outChannels: 4,
      kernelSize: 3,
      stride: 2,
      padding: 1,
      init: at(init, "conv"),
    });
    this.bn = new BatchNorm2d({ features: 4 });
    this.layers = new ModuleList([0, 1, 2].map((i) => new ToyLayer(at(at(init, "layers"), i))));
    this.upscale = new ConvTranspose2d({
      inChannels: 4,
      outChannels: 2,
      kernelSize: 2,
      stride: 2,
      init: at(init, "upscale"),
    });
    this.head = new Linear({ inFeatures: 4, outFeatures: 2, init: at(init, "head") });
    this.tied_head = new Linear({ inFeatures: 4, outFeatures: 2, init: at(init, "tied_head") });
    this.tied_head.weight.dispose();
    this.tied_head.weight = this.head.weight;
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    const map = this.bn.forward(this.conv.forward(x));
    let tokens: tf.Tensor = tf.reshape(map, [x.shape[0], 16, 4]);
    for (const layer of this.layers) tokens = layer.forward(tokens);
    return this.upscale.forward(tf.reshape(tokens, [x.shape[0], 4, 4, 4]));
  }

  /** Outputs for a fixed input. */
  run(): Float32Array {
    return tf.tidy(() => {
      const values = Float32Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => Math.sin(i * 12.9898));
      return this.forward(tf.tensor4d(values, [2, 8, 8, 3])).dataSync() as Float32Array;
    });
  }
}
