// A stranger's data: 40 pictures of discs and bars on noise-free grey, with boxes and outlines as COCO.
import { mkdirSync, writeFileSync } from "node:fs";
import sharp from "sharp";

const side = 96;
const categories = [
  { id: 3, name: "disc" },
  { id: 8, name: "bar" },
];
const images = [];
const annotations = [];
mkdirSync("objects/images", { recursive: true });
for (let i = 0; i < 40; i += 1) {
  const file = `${String(i).padStart(3, "0")}.png`;
  images.push({ id: i + 1, file_name: file, width: side, height: side });
  const shapes = [];
  // Two places, so that objects never touch; sizes and colours go around with different periods.
  for (const [j, { id }] of categories.entries()) {
    const size = 16 + ((7 * i + 5 * j) % 12);
    const x = 8 + ((13 * i) % 20) + 44 * ((i + j) % 2);
    const y = 8 + ((11 * i + 17 * j) % 56);
    const height = j === 0 ? size : 8;
    const corners = j === 0 ? 16 : 4;
    const outline = Array.from({ length: corners }, (_, k) => {
      const angle = (2 * Math.PI * (k + 0.5)) / corners;
      const reach = j === 0 ? 0.5 : Math.SQRT1_2;
      return [x + size * (0.5 + reach * Math.cos(angle)), y + height * (0.5 + reach * Math.sin(angle))];
    });
    shapes.push(`<polygon points="${outline.join(" ")}" fill="hsl(${(37 * i + 140 * j) % 360} 80% 45%)"/>`);
    annotations.push({
      id: annotations.length + 1,
      image_id: i + 1,
      category_id: id,
      bbox: [x, y, size, height],
      segmentation: [outline.flat()],
      area: size * height,
      iscrowd: 0,
    });
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}"><rect width="100%" height="100%" fill="#999"/>${shapes.join("")}</svg>`;
  await sharp(Buffer.from(svg)).png().toFile(`objects/images/${file}`);
}
writeFileSync("objects/annotations.json", JSON.stringify({ images, annotations, categories }));
