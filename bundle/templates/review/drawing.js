// Outlines drawn and moved, by pointer or by keys: the crosshair in the middle of the screen stands for the pointer.

import { counted } from "./words.js";

const at = (id) => document.getElementById(id);
const CLOSE_TO = 10; // px on the screen: a click so near to the first corner closes the outline

export class Drawing {
  mode = null; // "draw", "move" or null

  constructor(viewer, say) {
    this.viewer = viewer;
    this.say = say;
    const { osd } = viewer;
    osd.addHandler("canvas-click", (event) => this.mode === "draw" && this.#click(event));
    osd.addHandler("canvas-double-click", (event) => {
      if (!this.mode) return;
      event.preventDefaultAction = true;
      this.finish();
    });
    osd.addHandler("canvas-press", (event) => this.mode === "move" && (this.last = viewer.pixelAt(event.position)));
    osd.addHandler("canvas-drag", (event) => this.mode === "move" && this.#drag(event));
  }

  // --- begin and end --------------------------------------------------------------------------------------------

  /** @param {function(number[][][]): void} onDone gets the rings */
  draw(onDone) {
    this.#begin("draw", onDone, "Click the corners, or move with the arrows and press Space; Enter closes the outline, Backspace takes a corner back, Esc gives up.");
    this.corners = [];
    this.#show();
  }

  move(rings, onDone) {
    this.#begin("move", onDone, "Drag the outline, or press the arrows; Enter keeps it there, Esc puts it back.");
    this.rings = rings;
    this.#show();
  }

  #begin(mode, onDone, text) {
    this.end();
    this.mode = mode;
    this.onDone = onDone;
    at("mode").textContent = text;
    at("mode").hidden = false;
    this.viewer.overlay.showCrosshair(mode === "draw");
    this.say(text);
  }

  end() {
    this.mode = null;
    this.onDone = null;
    at("mode").hidden = true;
    this.viewer.overlay.showCrosshair(false);
    this.viewer.overlay.setOutlines("drawing", []);
  }

  finish() {
    const { onDone } = this;
    const rings = this.mode === "draw" ? [this.corners] : this.rings;
    if (this.mode === "draw" && this.corners.length < 3) {
      this.say("An outline needs three corners.");
      return;
    }
    this.end();
    onDone(rings.map((ring) => ring.map(([x, y]) => [Math.round(x), Math.round(y)])));
  }

  // --- corners --------------------------------------------------------------------------------------------------

  addCorner() {
    const { x, y } = this.viewer.place();
    this.#push([x + 0.5, y + 0.5]);
  }

  takeCornerBack() {
    this.corners.pop();
    this.#show();
  }

  #push(corner) {
    this.corners.push(corner);
    this.#show();
    this.say(counted(this.corners.length, "corner"));
  }

  #click(event) {
    event.preventDefaultAction = true;
    if (!event.quick) return;
    const corner = this.viewer.pixelAt(event.position);
    const reach = CLOSE_TO / this.viewer.scale;
    const near = (other) => Math.hypot(other[0] - corner[0], other[1] - corner[1]) < reach;
    if (this.corners.length >= 3 && near(this.corners[0])) this.finish();
    else if (!this.corners.length || !near(this.corners.at(-1))) this.#push(corner);
  }

  // --- moving ---------------------------------------------------------------------------------------------------

  #drag(event) {
    event.preventDefaultAction = true;
    const here = this.viewer.pixelAt(event.position);
    this.#shift(here[0] - this.last[0], here[1] - this.last[1]);
    this.last = here;
  }

  /** By pixels of the screen. */
  nudge(right, down) {
    this.#shift(right / this.viewer.scale, down / this.viewer.scale);
  }

  #shift(right, down) {
    this.rings = this.rings.map((ring) => ring.map(([x, y]) => [x + right, y + down]));
    this.#show();
  }

  #show() {
    const isOpen = this.mode === "draw";
    this.viewer.overlay.setOutlines("drawing", [{ rings: isOpen ? [this.corners] : this.rings, kind: "drawing", isOpen }]);
  }
}
