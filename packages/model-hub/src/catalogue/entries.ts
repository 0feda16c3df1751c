import type { CatalogueEntry, CatalogueFile, CatalogueRole } from "./types.js";

/** Publications: A and B are Meta's, U Ultralytics' assets. */
const A = "https://dl.fbaipublicfiles.com/segment_anything/";
const B = "https://dl.fbaipublicfiles.com/segment_anything_2/";
const U = "https://github.com/ultralytics/assets/releases/download/v8.4.0/";
const HF = "https://huggingface.co/";
const RAW = "https://raw.githubusercontent.com/";

/** What a transformers-style loader reads. */
const TRANSFORMERS = ["*.safetensors", "*.json", "*.txt"];

const file = (
  url: string | null,
  {
    name,
    bytes = null,
    sha256 = null,
    md5 = null,
    sources = 0,
  }: { name?: string; bytes?: number | null; sha256?: string | null; md5?: string | null; sources?: number } = {},
): CatalogueFile => ({
  name: name ?? url?.split("/").at(-1)?.split("?")[0] ?? "model",
  urls: url === null ? [] : [url],
  bytes,
  sha256,
  md5,
  sources,
});

const entry = (
  id: string,
  family: string,
  variant: string,
  role: CatalogueRole,
  description: string,
  files: readonly CatalogueFile[],
  rest: Partial<CatalogueEntry> & { licence: string },
): CatalogueEntry => ({
  id,
  family,
  variant,
  role,
  description,
  files,
  hf_id: null,
  hf_allow: TRANSFORMERS,
  onnx_id: null,
  manager_family: family,
  manager_variant: variant,
  format: "pytorch",
  paramsM: null,
  vramMb: null,
  publishedAp: null,
  availability: "auto",
  replacedBy: null,
  ...rest,
});

const APACHE = "Apache-2.0";
const AGPL = "AGPL-3.0";

const sam: readonly CatalogueEntry[] = [
  entry(
    "sam_vit_b",
    "sam",
    "vit_b",
    "teacher",
    "Segment Anything, ViT-B",
    [
      file(`${A}sam_vit_b_01ec64.pth`, {
        bytes: 375042383,
        sha256: "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        md5: "01ec64d29a2fca3f0661936605ae66f8",
        sources: 5,
      }),
    ],
    {
      licence: APACHE,
      hf_id: "facebook/sam-vit-base",
      onnx_id: "Xenova/sam-vit-base",
      vramMb: { fp32: 3302, bf16: 1760 },
    },
  ),
  entry(
    "sam_vit_l",
    "sam",
    "vit_l",
    "teacher",
    "Segment Anything, ViT-L",
    [
      file(`${A}sam_vit_l_0b3195.pth`, {
        bytes: 1249524607,
        sha256: "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        md5: "0b3195507c641ddb6910d2bb5adee89c",
        sources: 4,
      }),
    ],
    { licence: APACHE, hf_id: "facebook/sam-vit-large", vramMb: { fp32: 5016, bf16: 2634 } },
  ),
  entry(
    "sam_vit_h",
    "sam",
    "vit_h",
    "teacher",
    "Segment Anything, ViT-H; COCO AP with boxes of a detector",
    [
      file(`${A}sam_vit_h_4b8939.pth`, {
        bytes: 2564550879,
        sha256: "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        md5: "4b8939a88964f0f4ff5f5b2642c598a6",
        sources: 8,
      }),
    ],
    {
      licence: APACHE,
      hf_id: "facebook/sam-vit-huge",
      paramsM: 641,
      publishedAp: 46.1,
      vramMb: { fp32: 6462, bf16: 3378 },
    },
  ),
  entry("slimsam_77", "sam", "slim_77", "teacher", "SlimSAM, 77 % pruned, ONNX for Node", [], {
    licence: APACHE,
    hf_id: "Xenova/slimsam-77-uniform",
    hf_allow: ["onnx/*.onnx", "*.json"],
    onnx_id: "Xenova/slimsam-77-uniform",
    format: "onnx",
  }),
];

const SAM2_VRAM = {
  tiny: { fp32: 2400, bf16: 1200 },
  small: { fp32: 3000, bf16: 1500 },
  base_plus: { fp32: 4000, bf16: 2000 },
  large: { fp32: 4000, bf16: 2500 },
} as const;
const SAM2_PARAMS = { tiny: 38.9, small: 46, base_plus: 80.8, large: 224.4 } as const;
type Sam2Size = keyof typeof SAM2_VRAM;

const sam2 = (size: Sam2Size, sha256: string, md5: string): CatalogueEntry =>
  entry(
    `sam2_${size}`,
    "sam2",
    size,
    "teacher",
    `Segment Anything 2, Hiera ${size}`,
    [file(`${B}072824/sam2_hiera_${size}.pt`, { sha256, md5, sources: 1 })],
    {
      licence: APACHE,
      hf_id: `facebook/sam2-hiera-${size.replace("_", "-")}`,
      paramsM: SAM2_PARAMS[size],
      vramMb: SAM2_VRAM[size],
    },
  );
const sam21 = (size: Sam2Size, bytes: number, sha256: string, sources: number): CatalogueEntry =>
  entry(
    `sam2.1_${size}`,
    "sam2.1",
    size,
    "teacher",
    `Segment Anything 2.1, Hiera ${size}`,
    [file(`${B}092824/sam2.1_hiera_${size}.pt`, { bytes, sha256, sources })],
    {
      licence: APACHE,
      hf_id: `facebook/sam2.1-hiera-${size.replace("_", "-")}`,
      onnx_id: `onnx-community/sam2.1-hiera-${size.replace("_", "-")}-ONNX`,
      paramsM: SAM2_PARAMS[size],
      vramMb: SAM2_VRAM[size],
    },
  );

const newerSam: readonly CatalogueEntry[] = [
  sam2("tiny", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125", "99eacccce4ada0b35153d4fd7af05297"),
  sam2("small", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3", "7f320dbeb497330a2472da5a16c7324d"),
  sam2(
    "base_plus",
    "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    "09dc5a3d7719f64aaea1d37341ef26f2",
  ),
  sam2("large", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b", "08083462423be3260cd6a5eef94dc01c"),
  sam21("tiny", 156008466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", 8),
  sam21("small", 184416285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", 4),
  sam21("base_plus", 323606802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5", 3),
  sam21("large", 898083611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", 4),
  entry(
    "sam3",
    "sam3",
    "3",
    "teacher",
    "Segment Anything 3",
    [
      file(`${HF}facebook/sam3/resolve/main/sam3.pt`, {
        bytes: 3450062241,
        sha256: "9999e2341ceef5e136daa386eecb55cb414446a00ac2b55eb2dfd2f7c3cf8c9e",
        sources: 2,
      }),
    ],
    {
      licence: "SAM License",
      hf_id: "facebook/sam3",
      onnx_id: "onnx-community/sam3-tracker-ONNX",
      availability: "gated",
    },
  ),
  entry(
    "sam3.1",
    "sam3",
    "3.1",
    "teacher",
    "Segment Anything 3.1, multiplex",
    [
      file(`${HF}facebook/sam3.1/resolve/main/sam3.1_multiplex.pt`, {
        bytes: 3502755717,
        sha256: "0567debeec80ba4ac6369540c6c248025283cb3ff2b92827509e57e2b3541cb6",
        sources: 1,
      }),
    ],
    { licence: "SAM License", hf_id: "facebook/sam3.1", availability: "gated" },
  ),
];

const smallSam: readonly CatalogueEntry[] = [
  entry(
    "mobilesam",
    "mobilesam",
    "vit_t",
    "student",
    "MobileSAM, TinyViT encoder distilled from SAM",
    [
      file(`${RAW}ChaoningZhang/MobileSAM/f706ad9/weights/mobile_sam.pt`, {
        bytes: 40728226,
        sha256: "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        sources: 8,
      }),
    ],
    {
      licence: APACHE,
      hf_id: "dhkim2810/MobileSAM",
      hf_allow: ["mobile_sam.pt"],
      paramsM: 9.8,
      publishedAp: 39.4,
      vramMb: { fp32: 534, bf16: 390 },
    },
  ),
  entry(
    "fastsam_s",
    "fastsam",
    "s",
    "student",
    "FastSAM, YOLOv8s-seg architecture",
    [
      file(`${U}FastSAM-s.pt`, {
        bytes: 23851578,
        sha256: "c9f78716a81c7aff0d608ccc73e1b82ab3aaad86005049f6a92106a0be6d0844",
        sources: 6,
      }),
    ],
    { licence: AGPL, hf_id: "Ultralytics/FastSAM", hf_allow: ["FastSAM-s.pt"] },
  ),
  entry(
    "fastsam_x",
    "fastsam",
    "x",
    "student",
    "FastSAM, YOLOv8x-seg architecture, some 138 MB",
    [file(`${U}FastSAM-x.pt`)],
    { licence: AGPL, hf_id: "Ultralytics/FastSAM", hf_allow: ["FastSAM-x.pt"], paramsM: 68, publishedAp: 37.9 },
  ),
  entry(
    "efficientsam_ti",
    "efficientsam",
    "vitt",
    "student",
    "EfficientSAM, ViT-Tiny",
    [
      file(`${RAW}yformer/EfficientSAM/main/weights/efficient_sam_vitt.pt`, {
        bytes: 40982470,
        sha256: "dff858b19600a46461cbb7de98f796b23a7a888d9f5e34c0b033f7d6eb9e4e6a",
        sources: 3,
      }),
    ],
    { licence: APACHE },
  ),
  entry(
    "edgesam",
    "edgesam",
    "base",
    "student",
    "EdgeSAM, CNN encoder, with encoder and decoder as ONNX",
    [
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam.pth`),
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_encoder.onnx`),
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_decoder.onnx`),
    ],
    { licence: "S-Lab 1.0 non-commercial", paramsM: 9.6, publishedAp: 42.2, vramMb: { fp32: 360, bf16: 304 } },
  ),
  entry(
    "edgesam_3x",
    "edgesam",
    "3x",
    "student",
    "EdgeSAM trained three times as long",
    [
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x.pth`),
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x_encoder.onnx`),
      file(`${HF}spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x_decoder.onnx`),
    ],
    { licence: "S-Lab 1.0 non-commercial", paramsM: 9.6, vramMb: { fp32: 360, bf16: 304 } },
  ),
  entry(
    "hq_sam_h",
    "hq_sam",
    "vit_h",
    "teacher",
    "SAM in high quality, ViT-H, 2.57 GB",
    [
      file(`${HF}lkeab/hq-sam/resolve/main/sam_hq_vit_h.pth`, {
        sha256: "a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
        md5: "3560f6b6a5a6edacd814a1325c39640a",
        sources: 1,
      }),
    ],
    { licence: APACHE, hf_id: "syscv-community/sam-hq-vit-huge", vramMb: { fp32: 6464, bf16: 3378 } },
  ),
  entry(
    "hq_sam_tiny",
    "hq_sam",
    "vit_tiny",
    "student",
    "SAM in high quality, TinyViT, 43 MB",
    [
      file(`${HF}lkeab/hq-sam/resolve/main/sam_hq_vit_tiny.pth`, {
        sha256: "0f32c075ccdd870ae54db2f7630e7a0878ede5a2b06d05d6fe02c65a82fb7196",
        sources: 1,
      }),
    ],
    { licence: APACHE, vramMb: { fp32: 598, bf16: 392 } },
  ),
  entry(
    "hq_sam_b",
    "hq_sam",
    "vit_b",
    "teacher",
    "SAM in high quality, ViT-B, 379 MB",
    [file(`${HF}lkeab/hq-sam/resolve/main/sam_hq_vit_b.pth`, { md5: "c6b8953247bcfdc8bb8ef91e36a6cacc", sources: 1 })],
    { licence: APACHE, hf_id: "syscv-community/sam-hq-vit-base", vramMb: { fp32: 3304, bf16: 1762 } },
  ),
  entry(
    "hq_sam_l",
    "hq_sam",
    "vit_l",
    "teacher",
    "SAM in high quality, ViT-L, 1.25 GB",
    [file(`${HF}lkeab/hq-sam/resolve/main/sam_hq_vit_l.pth`, { md5: "08947267966e4264fb39523eccc33f86", sources: 1 })],
    { licence: APACHE, hf_id: "syscv-community/sam-hq-vit-large", vramMb: { fp32: 5016, bf16: 2634 } },
  ),
  entry(
    "efficientvit_sam_l0",
    "efficientvit_sam",
    "l0",
    "student",
    "EfficientViT-SAM L0",
    [
      file(`${HF}mit-han-lab/efficientvit-sam/resolve/main/efficientvit_sam_l0.pt`, {
        sha256: "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8",
        sources: 1,
      }),
    ],
    { licence: "unknown" },
  ),
  entry(
    "tinysam",
    "tinysam",
    "base",
    "student",
    "TinySAM; its authors publish it by a drive link",
    [
      file(null, {
        name: "tinysam.pth",
        sha256: "4b8edcf93af46e2a658ae455574de62873778a5cc3fd8e8adf094dcdfa957cf2",
        sources: 1,
      }),
    ],
    { licence: "unknown", availability: "manual" },
  ),
  entry(
    "medsam",
    "medsam",
    "vit_b",
    "teacher",
    "MedSAM, SAM ViT-B for medical images, some 375 MB; the native file only by a drive link",
    [file(null, { name: "medsam_vit_b.pth" })],
    { licence: "unknown", hf_id: "wanglab/medsam-vit-base" },
  ),
];

const GDINO_RELEASE = "https://github.com/IDEA-Research/GroundingDINO/releases/download/";
const MM = "openmmlab-community/mm_grounding_dino_";
const boxTeachers: readonly CatalogueEntry[] = [
  entry(
    "grounding_dino_t",
    "grounding_dino",
    "swin_t",
    "box-teacher",
    "Grounding DINO, Swin-T; COCO box AP zero-shot (57.2 fine-tuned)",
    [
      file(`${GDINO_RELEASE}v0.1.0-alpha/groundingdino_swint_ogc.pth`, {
        bytes: 693997677,
        sha256: "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        sources: 3,
      }),
    ],
    {
      licence: APACHE,
      hf_id: "IDEA-Research/grounding-dino-tiny",
      onnx_id: "onnx-community/grounding-dino-tiny-ONNX",
      publishedAp: 48.4,
    },
  ),
  entry(
    "grounding_dino_b",
    "grounding_dino",
    "swin_b",
    "box-teacher",
    "Grounding DINO, Swin-B; COCO is in its training set",
    [
      file(`${GDINO_RELEASE}v0.1.0-alpha2/groundingdino_swinb_cogcoor.pth`, {
        bytes: 938057991,
        sha256: "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
        sources: 8,
      }),
    ],
    { licence: APACHE, hf_id: "IDEA-Research/grounding-dino-base", publishedAp: 56.7 },
  ),
  entry(
    "grounding_dino_b_mm",
    "grounding_dino",
    "swin_b_mm",
    "box-teacher",
    "Grounding DINO, Swin-B, as repackaged for mmdetection",
    [
      file(
        "https://download.openmmlab.com/mmdetection/v3.0/grounding_dino/groundingdino_swinb_cogcoor_mmdet-55949c9c.pth",
        { bytes: 935971702, sha256: "55949c9c0f46339a73b415334765615d491ee6ed739ed3f568142b7fc5581143", sources: 1 },
      ),
    ],
    { licence: APACHE },
  ),
  entry(
    "grounding_dino_t_onnx",
    "grounding_dino",
    "swin_t_onnx",
    "box-teacher",
    "Grounding DINO, Swin-T, ONNX for Node: fp32 719 MB",
    [],
    {
      licence: APACHE,
      hf_id: "onnx-community/grounding-dino-tiny-ONNX",
      hf_allow: ["onnx/model.onnx", "*.json", "vocab.txt"],
      onnx_id: "onnx-community/grounding-dino-tiny-ONNX",
      format: "onnx",
    },
  ),
  ...[
    "tiny_o365v1_goldg",
    "tiny_o365v1_goldg_grit",
    "tiny_o365v1_goldg_v3det",
    "tiny_o365v1_goldg_grit_v3det",
    "base_o365v1_goldg_v3det",
    "base_all",
    "large_o365v2_oiv6_goldg",
    "large_all",
  ].map((variant) =>
    entry(
      `mm_grounding_dino_${variant}`,
      "mm_grounding_dino",
      variant,
      "box-teacher",
      `MM Grounding DINO, ${variant.replaceAll("_", " ")}`,
      [],
      { licence: APACHE, hf_id: `${MM}${variant}`, format: "safetensors" },
    ),
  ),
  entry(
    "bert-base-uncased",
    "bert",
    "base_uncased",
    "text_encoder",
    "Text encoder of Grounding DINO; another one may take its place",
    [],
    {
      licence: APACHE,
      hf_id: "bert-base-uncased",
      hf_allow: ["model.safetensors", "config.json", "tokenizer*.json", "vocab.txt"],
      format: "safetensors",
      paramsM: 110,
    },
  ),
];

const yolo = (variant: string, bytes: number, sha256: string, sources: number): CatalogueEntry =>
  entry(
    `yolov8${variant}`,
    variant.endsWith("-seg") ? "yolov8-seg" : "yolov8",
    variant.replace("-seg", ""),
    "student",
    `YOLOv8${variant}, COCO weights`,
    [file(`${U}yolov8${variant}.pt`, { bytes, sha256, sources })],
    { licence: AGPL },
  );
const students: readonly CatalogueEntry[] = [
  yolo("n", 6549796, "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36", 5),
  yolo("s", 22588772, "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a", 5),
  yolo("m", 52136884, "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5", 4),
  yolo("l", 87792836, "64c9115303f6a25575f82200d1b22ec409fa6bd7d08d0313884fc20d919478cd", 2),
  yolo("x", 136890692, "3df4ada6b4dad6d657868f2fdf7faecfb34dcfccf3a25c4b82079064718524c8", 2),
  yolo("n-seg", 7071756, "a7cd8f929e1903d78a12a48efecab430209f18dc46cb96c3599a5980c63c423c", 4),
  yolo("s-seg", 23914764, "0bac0770b55e5eb5b76a61bc535673288dcec36c2bc0cd25ee0d584c632f3413", 4),
  yolo("m-seg", 54921020, "51fa7e5ef385efa6d5b1d8e31b73399be6ed5d7ca71bda4bd4b2794bb445c4f4", 1),
  yolo("l-seg", 92417004, "ca3ec94c445aeaf79c2b57982fb451060f18a7561e2c20b4d26bb9dc1fcabf93", 1),
  yolo("x-seg", 144101612, "c333d6a7aff884ec821050eacdab29871f3edd10d996cf48746a02f8e01f1b5d", 1),
];

const RESTORMER = "Restormer academic, non-commercial";
const manual = (name: string) => [file(null, { name })];
const restoration: readonly CatalogueEntry[] = [
  ...[
    "motion_deblurring",
    "single_image_defocus_deblurring",
    "deraining",
    "real_denoising",
    ...["gaussian_color", "gaussian_gray"].flatMap((kind) =>
      ["blind", "sigma15", "sigma25", "sigma50"].map((noise) => `${kind}_denoising_${noise}`),
    ),
  ].map((task) =>
    entry(
      `restormer_${task}`,
      "restormer",
      task,
      "restoration",
      `Restormer, ${task.replaceAll("_", " ")}; published by a drive link`,
      manual(`${task}.pth`),
      { licence: RESTORMER, availability: "manual" },
    ),
  ),
  ...(
    [
      ["gopro-width32", "32.87 dB PSNR"],
      ["gopro-width64", "33.71 dB PSNR"],
      ["sidd-width32", "39.97 dB PSNR"],
      ["sidd-width64", "40.30 dB PSNR"],
      ["reds-width64", "29.09 dB PSNR"],
      ["nafssr-l", "stereo super-resolution"],
    ] as const
  ).map(([variant, measure]) =>
    entry(
      `nafnet_${variant}`,
      "nafnet",
      variant,
      "restoration",
      `NAFNet, ${variant}, ${measure}; published by a drive link`,
      manual(
        variant === "nafssr-l"
          ? "NAFSSR-L_4x.pth"
          : `NAFNet-${variant.replace("gopro", "GoPro").replace("sidd", "SIDD").replace("reds", "REDS")}.pth`,
      ),
      { licence: "MIT", availability: "manual" },
    ),
  ),
  entry(
    "uvdoc",
    "uvdoc",
    "best",
    "restoration",
    "UVDoc, unwarping of document photos",
    [file(`${RAW}tanguymagne/UVDoc/main/model/best_model.pkl`)],
    { licence: "MIT" },
  ),
  entry("docunet", "docunet", "none", "restoration", "DocUNet; no official weights exist", [], {
    licence: "unknown",
    availability: "none",
    replacedBy: "uvdoc",
  }),
];

/** Every model that the hub knows. Digests are those of one publisher's bytes and are never shared between publishers. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  ...sam,
  ...newerSam,
  ...smallSam,
  ...boxTeachers,
  ...students,
  ...restoration,
];
