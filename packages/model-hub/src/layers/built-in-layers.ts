import type { LayerConfig, LayerModel } from "./types.js";

const ofCatalogue = (architecture: string, id: string, task: string, more: Partial<LayerModel> = {}): LayerModel => ({
  name: id,
  architecture,
  tasks: [task],
  catalogue: id,
  ...more,
});

const restormer = (variant: string, task: string, settings?: LayerModel["settings"]): LayerModel =>
  ofCatalogue("restormer", `restormer_${variant}`, task, settings === undefined ? {} : { settings });
/** The denoising networks were trained with norms without bias. */
const BIAS_FREE = { layer_norm: "BiasFree" };

/**
 * The layers that every hub has. More are entries of `layers.yaml`; an entry of the same name takes the place of the built-in one.
 * The first model of a layer that does a task and is stored is the one that `resolve` gives.
 */
export const BUILT_IN_LAYERS: readonly LayerConfig[] = [
  {
    layer: "layer-1",
    purpose: "First restoration: basic denoising and a first gain in quality; its output is the input of layer-2",
    tasks: ["denoise", "derain", "motion_deblur", "defocus_deblur", "denoise_gaussian_color", "denoise_gaussian_gray"],
    models: [
      restormer("real_denoising", "denoise", BIAS_FREE),
      restormer("deraining", "derain"),
      restormer("motion_deblurring", "motion_deblur"),
      restormer("single_image_defocus_deblurring", "defocus_deblur"),
      ...["color", "gray"].flatMap((colour) =>
        ["blind", "sigma15", "sigma25", "sigma50"].map((noise) =>
          restormer(`gaussian_${colour}_denoising_${noise}`, `denoise_gaussian_${colour}`, BIAS_FREE),
        ),
      ),
    ],
    architectures: {
      restormer: {
        dim: 48,
        num_blocks: [4, 6, 6, 8],
        num_refinement_blocks: 4,
        heads: [1, 2, 4, 8],
        ffn_expansion_factor: 2.66,
        layer_norm: "WithBias",
      },
    },
  },
  {
    layer: "layer-2",
    purpose: "Advanced restoration, geometric correction and specialisation on documents; takes the output of layer-1",
    tasks: ["denoise", "motion_deblur", "video_deblur", "stereo_super_resolution", "unwarp"],
    models: [
      ofCatalogue("nafnet", "nafnet_sidd-width64", "denoise"),
      ofCatalogue("nafnet", "nafnet_sidd-width32", "denoise"),
      ofCatalogue("nafnet", "nafnet_gopro-width64", "motion_deblur"),
      ofCatalogue("nafnet", "nafnet_gopro-width32", "motion_deblur"),
      ofCatalogue("nafnet", "nafnet_reds-width64", "video_deblur"),
      ofCatalogue("nafnet", "nafnet_nafssr-l", "stereo_super_resolution"),
      ofCatalogue("uvdoc", "uvdoc", "unwarp", { when: "the page is warped" }),
      ofCatalogue("docunet", "docunet", "unwarp", { when: "the page is warped" }),
    ],
    architectures: {},
  },
];
