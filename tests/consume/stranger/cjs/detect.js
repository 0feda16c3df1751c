const { createDetector } = require("@seg/export/runtime");
const { decodeImage } = require("@seg/preprocess");

async function main([model, picture]) {
  const detector = await createDetector({ model });
  const image = await decodeImage(picture);
  const { boxes, scores } = await detector.predict(image, { confidence: 0, maxDetections: 3 });
  console.log(JSON.stringify({ boxes: Array.from(boxes), scores: Array.from(scores) }));
}
main(process.argv.slice(2));
