import { createDetector, type DetectionResult } from "@seg/export/runtime";
import { decodeImage } from "@seg/preprocess";

const [model, picture] = process.argv.slice(2) as [string, string];
const detector = await createDetector({ model });
const image = await decodeImage(picture);
const { boxes, scores }: DetectionResult = await detector.predict(image, { confidence: 0, maxDetections: 3 });
console.log(JSON.stringify({ boxes: Array.from(boxes), scores: Array.from(scores) }));
