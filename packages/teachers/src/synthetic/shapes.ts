import type { CounterRandom } from "@seg/augment";

/** A figure around the origin, about one unit in radius: true for points inside. v points down. */
export type Inside = (u: number, v: number) => boolean;

/** Shapes of the synthetic world. */
export const SHAPE_KINDS = [
  "circle",
  "oval",
  "square",
  "rectangle",
  "triangle",
  "diamond",
  "star",
  "cross",
  "ring",
  "blob",
  "bar",
] as const;
export type ShapeKind = (typeof SHAPE_KINDS)[number];

const TURN = 2 * Math.PI;

/** Even-odd test against a closed polygon given as x, y, x, y, ... */
export function polygonInside(points: readonly number[]): Inside {
  const count = points.length / 2;
  return (u, v) => {
    let inside = false;
    for (let i = 0, j = count - 1; i < count; j = i++) {
      const yi = points[2 * i + 1]!;
      const yj = points[2 * j + 1]!;
      if (yi > v !== yj > v) {
        const xi = points[2 * i]!;
        if (u < ((points[2 * j]! - xi) * (v - yi)) / (yj - yi) + xi) inside = !inside;
      }
    }
    return inside;
  };
}

/** Polygon with corners at the given radii, evenly spread, the first pointing up. */
function spokes(radii: readonly number[]): Inside {
  const points: number[] = [];
  for (let i = 0; i < radii.length; i++) {
    const angle = (TURN * i) / radii.length - Math.PI / 2;
    points.push(radii[i]! * Math.cos(angle), radii[i]! * Math.sin(angle));
  }
  return polygonInside(points);
}

/** One figure of the named kind with random proportions. */
export function drawShape(kind: ShapeKind, random: CounterRandom): Inside {
  switch (kind) {
    case "circle":
      return (u, v) => u * u + v * v <= 1;
    case "oval": {
      const aspect = random.uniform(0.45, 0.72);
      return (u, v) => u * u + (v * v) / (aspect * aspect) <= 1;
    }
    case "square":
      return (u, v) => Math.abs(u) <= 0.85 && Math.abs(v) <= 0.85;
    case "rectangle": {
      const aspect = random.uniform(0.42, 0.7);
      return (u, v) => Math.abs(u) <= 1 && Math.abs(v) <= aspect;
    }
    case "triangle":
      return spokes([1, random.uniform(0.85, 1), random.uniform(0.85, 1)]);
    case "diamond": {
      const aspect = random.uniform(0.55, 0.85);
      return (u, v) => Math.abs(u) / aspect + Math.abs(v) <= 1;
    }
    case "star": {
      const inner = random.uniform(0.38, 0.52);
      return spokes([1, inner, 1, inner, 1, inner, 1, inner, 1, inner]);
    }
    case "cross": {
      const width = random.uniform(0.25, 0.4);
      return (u, v) => (Math.abs(u) <= width && Math.abs(v) <= 1) || (Math.abs(v) <= width && Math.abs(u) <= 1);
    }
    case "ring": {
      const inner = random.uniform(0.45, 0.68) ** 2;
      return (u, v) => {
        const square = u * u + v * v;
        return square <= 1 && square >= inner;
      };
    }
    case "blob":
      return blob(random);
    case "bar": {
      const width = random.uniform(0.12, 0.24);
      return (u, v) => Math.abs(u) <= 1 && Math.abs(v) <= width;
    }
  }
}

/** Smooth closed curve r(a) = (1 + sum of four harmonics) / largest radius. */
export function blob(random: CounterRandom, roughness = 1): Inside {
  const waves = [2, 3, 4, 5].map((frequency) => ({
    frequency,
    size: (random.uniform(0.05, 0.3) * roughness) / Math.sqrt(frequency),
    phase: random.uniform(0, TURN),
  }));
  const steps = 128;
  const radii = new Float64Array(steps + 1);
  let largest = 0;
  for (let i = 0; i < steps; i++) {
    let radius = 1;
    for (const { frequency, size, phase } of waves) radius += size * Math.cos((frequency * TURN * i) / steps + phase);
    radii[i] = radius;
    largest = Math.max(largest, radius);
  }
  for (let i = 0; i < steps; i++) radii[i] = radii[i]! / largest;
  radii[steps] = radii[0]!;
  return (u, v) => {
    const square = u * u + v * v;
    if (square > 1) return false;
    const position = ((Math.atan2(v, u) / TURN + 1) % 1) * steps;
    const index = Math.min(Math.floor(position), steps - 1);
    const rest = position - index;
    const radius = radii[index]! * (1 - rest) + radii[index + 1]! * rest;
    return square <= radius * radius;
  };
}

/** Star-shaped polygon of 4 to 9 corners with radii of .45 to 1. */
export function randomPolygon(random: CounterRandom): Inside {
  const count = random.integer(4, 9);
  const points: number[] = [];
  for (let i = 0; i < count; i++) {
    const angle = (TURN * (i + random.uniform(-0.35, 0.35))) / count;
    const radius = random.uniform(0.45, 1);
    points.push(radius * Math.cos(angle), radius * Math.sin(angle));
  }
  return polygonInside(points);
}
