// Lengths on the screen and magnifications. No page, no viewer.

/** The longest round length, 1, 2 or 5 times a power of ten, that fits into so many pixels. */
export function scaleBar(umPerPixel, maxPixels) {
  const limit = umPerPixel * maxPixels;
  const power = 10 ** Math.floor(Math.log10(limit));
  const um = Math.max(...[1, 2, 5].map((factor) => factor * power).filter((length) => length <= limit));
  const label = um >= 1000 ? `${um / 1000} mm` : `${um} µm`;
  return { label, pixels: um / umPerPixel };
}

/** µm per pixel of the screen at a magnification: an objective of 40x is scanned at 0.25 µm per pixel. */
export function umAt(magnification) {
  return 10 / magnification;
}

/** The place that an address names, or null: {x, y} in level-0 pixels, um per pixel of the screen. */
export function readPlace(query) {
  const place = Object.fromEntries(["x", "y", "um"].map((key) => [key, Number.parseFloat(query.get(key))]));
  return Object.values(place).every(Number.isFinite) && place.um > 0 ? place : null;
}

/** The same place as the end of an address. */
export function writePlace({ x, y, um }) {
  return `x=${Math.round(x)}&y=${Math.round(y)}&um=${Number(um.toPrecision(4))}`;
}
