/** Red, green, blue in 0..255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Okabe and Ito's colours, which people with any common colour blindness tell apart, ordered so that the first ones stand out on skin-
 * and tissue-like, grey and green pictures alike. Black is left out: on dark pictures it would vanish.
 */
const PALETTE: readonly Rgb[] = [
  [0, 158, 230],
  [255, 140, 0],
  [0, 190, 130],
  [230, 60, 140],
  [240, 228, 66],
  [140, 90, 230],
  [213, 70, 0],
  [86, 214, 233],
];

/** Degrees between hues beyond the palette: the golden angle never comes back to a hue already used. */
const GOLDEN_ANGLE = 137.508;
/** Lightness of the colours beyond the palette, in turn: neighbours in hue then differ in lightness. */
const LIGHTNESS = [0.55, 0.38, 0.72] as const;

/** Classes up to which every colour comes from the palette. */
export const PALETTE_SIZE = PALETTE.length;

/**
 * Colour of a class index: the same one in every picture and every run.
 * @example classColor(0) // [0, 158, 230]
 */
export function classColor(classId: number): Rgb {
  const index = Number.isInteger(classId) && classId >= 0 ? classId : 0;
  return PALETTE[index] ?? fromHsl((index * GOLDEN_ANGLE) % 360, 0.75, LIGHTNESS[index % LIGHTNESS.length]!);
}

/** Black or white, whichever has more contrast on the colour (WCAG 2 relative luminance). */
export function textColorOn([red, green, blue]: Rgb): "#000" | "#fff" {
  const linear = (value: number) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  // Both contrasts (L + .05) / .05 and 1.05 / (L + .05) are equal at L = .179.
  return luminance > 0.179 ? "#000" : "#fff";
}

function fromHsl(hue: number, saturation: number, lightness: number): Rgb {
  const chroma = (1 - Math.abs(2 * lightness - 1)) * saturation;
  const channel = (offset: number) => {
    const k = (offset + hue / 30) % 12;
    return Math.round(255 * (lightness - (chroma / 2) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
