// The worklist: filter, search, progress.

import { counted } from "./words.js";

const TESTS = {
  all: () => true,
  open: (slide) => !slide.is_reviewed,
  done: (slide) => slide.is_reviewed,
  found: (slide) => slide.num_detections > 0,
  none: (slide) => slide.num_detections === 0,
};

const at = (id) => document.getElementById(id);

export function addressOf(name, place = "") {
  return `#/slide/${encodeURIComponent(name)}${place && `?${place}`}`;
}

export class Worklist {
  slides = [];
  queue = null; // what is asked about over all slides, or null

  constructor() {
    for (const id of ["search", "which"]) at(id).addEventListener("input", () => this.#show());
    at("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  fill({ slides, totals, queue, program }) {
    this.slides = slides;
    this.queue = queue;
    at("start").hidden = !queue;
    if (queue) at("start-text").textContent = `${queue.filter((place) => !place.is_judged).length} of ${queue.length} to judge: go to the next`;
    at("progress").textContent =
      `Reviewed: ${totals.detections_reviewed} of ${counted(totals.detections, "detection")}, ${totals.slides_reviewed} of ${counted(totals.slides, "slide")}`;
    at("progress-bar").value = totals.detections ? totals.detections_reviewed / totals.detections : 0;
    at("program").textContent = program;
    const template = slides.map((slide) => this.#row(slide));
    at("slides").replaceChildren(...template);
    this.#show();
  }

  #row(slide) {
    const row = document.createElement("li");
    row.dataset.name = slide.name;
    const link = row.appendChild(document.createElement("a"));
    link.href = addressOf(slide.name);
    const frame = link.appendChild(document.createElement("span"));
    frame.className = "thumbnail";
    if (slide.has_pixels) {
      const image = frame.appendChild(document.createElement("img"));
      image.loading = "lazy";
      image.alt = "";
      image.src = `slides/${slide.number}/${slide.version}/thumbnail.jpg`;
      image.addEventListener("error", () => image.replaceWith("no pixels"));
    } else {
      frame.textContent = "no pixels";
    }
    const text = link.appendChild(document.createElement("span"));
    text.className = "text";
    const name = text.appendChild(document.createElement("strong"));
    name.textContent = slide.file;
    const facts = text.appendChild(document.createElement("span"));
    facts.className = "facts";
    const count = counted(slide.num_detections, "detection");
    facts.textContent = `suspicion ${slide.score.toFixed(3)}, ${count}${slide.truth && `, truth: ${slide.truth}`}`;
    const state = text.appendChild(document.createElement("span"));
    state.className = slide.is_reviewed ? "state done" : "state";
    state.textContent = !slide.num_detections
      ? "nothing to judge"
      : slide.is_reviewed
      ? "✓ reviewed"
      : slide.num_reviewed
      ? `${slide.num_reviewed} of ${slide.num_detections} reviewed`
      : "to review";
    return row;
  }

  #show() {
    const wanted = at("search").value.toLowerCase();
    const test = TESTS[at("which").value];
    let shown = 0;
    for (const [index, slide] of this.slides.entries()) {
      const is = test(slide) && slide.file.toLowerCase().includes(wanted);
      at("slides").children[index].hidden = !is;
      shown += is;
    }
    at("shown").textContent = `${shown} of ${counted(this.slides.length, "slide")}`;
  }

  find(name) {
    return this.slides.find((slide) => slide.name === name);
  }

  /** The slide before (-1) or after (1) another, in the order shown; undefined at the ends. */
  beside(name, step) {
    const shown = this.slides.filter((slide, index) => slide.name === name || !at("slides").children[index].hidden);
    return shown[shown.findIndex((slide) => slide.name === name) + step];
  }
}
