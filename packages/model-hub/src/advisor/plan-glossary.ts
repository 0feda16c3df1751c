/** What the outputs of a plan are, for who does not know the words; one line each. */
export const MEANINGS: Readonly<Record<string, string>> = {
  detector_teacher:
    "a large model that finds objects by name; it is adapted to these and shows the student what it found",
  mask_teacher: "a large model that outlines objects; it is adapted to these and shows the student its outlines",
  student: "the small model that is trained and goes to the device",
  student_weights: "what the student knows before it starts",
  image_size: "longer side to which images are scaled, in pixels; larger shows smaller objects and takes longer",
  augmentation: "how strongly images are varied while learning, so that few of them look like many",
  mosaic: "share of the steps in which four images are put together into one",
  close_mosaic: "last epochs, in which images are not put together any more",
  flip_vertical: "share of the steps in which an image stands on its head",
  lighting: "what is expected of the light; decides how brightness is varied",
  camera: "what is expected of the camera; decides whether images are blurred",
  characteristics: "what is special about the objects; decides which variations are added",
  lora_rank: "how much the adapter of a teacher can learn; too much learns few images by heart",
  lora_alpha: "how strongly the adapter acts",
  lora_epochs: "how often a teacher sees every image",
  student_epochs: "how often the student sees every image",
  batch: "images that are learned from at once; more need more memory",
  learning_rate: "size of a step; too large never settles, too small never arrives",
  warmup_epochs: "first epochs, in which steps grow to their size",
  optimizer: "the method that turns errors into steps",
  schedule: "how the size of a step falls until the end",
  ema: "whether the average over the last steps is kept, which is steadier than the last one",
  box_threshold: "how sure a teacher must be to be believed that there is an object, 0 to 1",
  text_threshold: "how sure it must be of the name, 0 to 1",
  export: "number format on the device; int8 is small and fast, fp16 keeps more digits",
};

/** Facts with a number, as what they count. */
export const NUMBERS: Readonly<Record<string, string>> = {
  images: "number of images",
  objects: "number of objects",
  classes: "number of classes",
  median_objects: "number of objects on a usual image",
  free_bytes: "free memory",
  time_budget_s: "time for training",
  overlap_share: "share of objects that overlap another",
  brightness_spread: "difference between dark and bright images (gray 0 to 255)",
  size_spread: "width of large objects over that of small ones",
  brightness: "usual brightness (gray 0 to 255)",
  contrast: "usual contrast (gray 0 to 255)",
};

/** Facts that are a choice or a yes or no, as a condition; `%` stands for the value. */
export const CONDITIONS: Readonly<Record<string, string | readonly [no: string, yes: string]>> = {
  has_bbox: ["no boxes were annotated", "boxes were annotated"],
  has_segmentation: ["no masks were annotated", "masks were annotated"],
  looks_known: ["the images could not be looked at", "the images could be looked at"],
  permissive_only: ["any licence were allowed", "only permissive licences were allowed"],
  priority: "the priority were %",
  domain: "the pictures were %",
  augmentation: "the variation were %",
};
