// What lies over the slide: outlines in the frame of level 0, and marks of a fixed size on the screen.

const SVG = "http://www.w3.org/2000/svg";

function element(name, parent, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return parent.appendChild(made);
}

/** The path of rings of (x, y). */
export function pathOf(rings) {
  return rings.filter((ring) => ring.length).map((ring) => `M${ring.map(([x, y]) => `${x} ${y}`).join("L")}Z`).join("");
}

export class Overlay {
  /** @param {HTMLElement} parent covers the viewer, from its upper left corner on. */
  constructor(parent) {
    this.svg = element("svg", parent, { class: "overlay", "aria-hidden": "true" });
    this.scene = element("g", this.svg);
    this.layers = {};
    for (const name of ["truth", "outlines", "drawing"]) this.layers[name] = element("g", this.scene, { class: name });
    this.markLayer = element("g", this.svg, { class: "marks" });
    this.crosshair = element("path", this.svg, { class: "crosshair", d: "M-14 0H14M0 -14V14", display: "none" });
    this.marks = [];
  }

  /** @param {{rings: number[][][], kind: string, isChosen?: boolean, isOpen?: boolean}[]} outlines */
  setOutlines(layer, outlines) {
    this.layers[layer].replaceChildren();
    for (const { rings, kind, isChosen, isOpen } of outlines) {
      const d = isOpen ? pathOf(rings).replace(/Z/g, "") : pathOf(rings);
      for (const part of ["halo", "line"]) {
        element("path", this.layers[layer], { class: `${part} ${kind}${isChosen ? " chosen" : ""}`, d });
      }
    }
  }

  /** @param {{x: number, y: number, label: string, kind: string}[]} marks */
  setMarks(marks) {
    this.markLayer.replaceChildren();
    this.marks = marks.map(({ x, y, label, kind }) => {
      const group = element("g", this.markLayer, { class: `mark ${kind}` });
      element("circle", group, { r: 13 });
      element("text", group, { dy: "0.35em" }).textContent = label;
      return { x, y, group };
    });
  }

  show(layer, isShown) {
    const group = layer === "marks" ? this.markLayer : this.layers[layer];
    group.setAttribute("display", isShown ? "inline" : "none");
  }

  showCrosshair(isShown) {
    this.crosshair.setAttribute("display", isShown ? "inline" : "none");
  }

  /** Follow the viewer: level-0 pixel (x, y) lies at left + x * scale, top + y * scale on its screen. */
  follow({ left, top, scale, width, height }) {
    this.scene.setAttribute("transform", `translate(${left} ${top}) scale(${scale})`);
    this.crosshair.setAttribute("transform", `translate(${width / 2} ${height / 2})`);
    for (const { x, y, group } of this.marks) {
      const [at, down] = [left + (x + 0.5) * scale, top + (y + 0.5) * scale];
      const isIn = at > -20 && down > -20 && at < width + 20 && down < height + 20;
      group.setAttribute("display", isIn ? "inline" : "none");
      if (isIn) group.setAttribute("transform", `translate(${at} ${down})`);
    }
  }
}
