// One slide: its panel, what lies over it, and the verdicts.

import { get, post } from "./api.js";
import { Drawing } from "./drawing.js";
import { umAt } from "./scale.js";
import { counted } from "./words.js";

const at = (id) => document.getElementById(id);
const LAYERS = ["outlines", "marks", "truth"];
const SIGNS = { tumor: "T", not_tumor: "N", unsure: "U" };
const WORDS = { tumor: "tumor", not_tumor: "not tumor", unsure: "unsure" };
const POLL_AFTER = 5000; // ms, to see what another program changed

export class SlidePage {
  /**
   * @param {import("./viewer.js").Viewer} viewer
   * @param {{say: function(string): void, complain: function(string): void, goOn: function(): void}} page
   */
  constructor(viewer, page) {
    this.viewer = viewer;
    this.page = page;
    this.slide = null;
    this.chosen = null; // id of the mark that the reader is at
    this.drawing = new Drawing(viewer, page.say);
    this.turn = Promise.resolve();
    this.#listen();
  }

  get detections() {
    return this.slide.marks.filter(({ source }) => source === "detection");
  }

  get outlines() {
    return this.slide.marks.filter(({ rings }) => rings);
  }

  get chosenMark() {
    return this.slide?.marks.find(({ id }) => id === this.chosen) ?? null;
  }

  // --- open and close -------------------------------------------------------------------------------------------

  async open(row, place, isWanted) {
    this.close();
    at("name").textContent = row.file;
    const slide = await get(`slides/${row.number}`);
    if (!isWanted()) return;
    this.slide = slide;
    document.title = `${slide.name}: review`;
    const size = [slide.width, slide.height].map((side) => ((side * slide.mpp) / 1000).toFixed(1)).join(" × ");
    at("about").textContent = `${size} mm, ${slide.mpp} µm per pixel${row.truth && `; truth: ${row.truth}`}`;
    at("fault").textContent = [slide.fault, ...slide.notes].filter(Boolean).join(" ");
    at("fault").hidden = !at("fault").textContent;
    at("truth-label").hidden = !slide.truth;
    if (slide.said) this.page.complain(`Another program changed the verdicts of this slide: ${slide.said}. This is kept and shown.`);
    this.#fill();
    await this.viewer.open(slide, place, this.mapLayer());
    this.draw();
  }

  /** From here until the next slide is there, keys find no slide: a verdict can't go to the one that was left. */
  close() {
    this.slide = null;
    this.chosen = null;
    this.drawing.end();
    this.viewer.close();
    for (const id of ["about", "fault", "found-title", "found"]) at(id).replaceChildren();
    this.page.say("");
  }

  // --- what the panel and the overlay show ----------------------------------------------------------------------

  #fill() {
    const all = this.detections;
    const judged = all.filter(({ verdict }) => verdict).length;
    const have = judged === 1 ? "has" : "have";
    at("found-title").textContent = all.length ? `${judged} of ${counted(all.length, "detection")} ${have} a verdict` : "No detections";
    at("found").replaceChildren(
      ...all.map((mark, index) => {
        const item = document.createElement("li");
        const button = item.appendChild(document.createElement("button"));
        button.type = "button";
        button.dataset.id = mark.id;
        button.className = mark.verdict ?? "";
        button.appendChild(document.createElement("b")).textContent = index + 1;
        button.append(` ${mark.prob?.toFixed(3) ?? ""} ${SIGNS[mark.verdict] ?? ""}`);
        button.title = [WORDS[mark.verdict] ?? "no verdict yet", mark.comment].filter(Boolean).join(": ");
        button.addEventListener("click", () => this.choose(mark.id));
        return item;
      }),
    );
  }

  draw() {
    const { overlay } = this.viewer;
    overlay.setOutlines("truth", this.slide.truth ? [{ rings: this.slide.truth, kind: "truth" }] : []);
    overlay.setOutlines(
      "outlines",
      this.outlines.map(({ id, rings, verdict, source }) => ({ rings, kind: `${verdict ?? "open"} ${source}`, isChosen: id === this.chosen })),
    );
    overlay.setMarks(
      this.detections.map(({ id, x, y, verdict }, index) => ({
        x,
        y,
        label: `${index + 1}${SIGNS[verdict] ?? ""}`,
        kind: `${verdict ?? "open"}${id === this.chosen ? " chosen" : ""}`,
      })),
    );
    this.showLayers();
    const mark = this.chosenMark;
    at("verdict-of").textContent = mark ? mark.name : "Choose a detection (j) or an outline (s)";
    at("verdict-is").textContent = mark ? [WORDS[mark.verdict] ?? "no verdict yet", mark.comment].filter(Boolean).join(": ") : "";
    for (const button of at("verdicts").querySelectorAll("button[data-verdict]")) {
      button.disabled = !mark;
      button.setAttribute("aria-pressed", String(mark?.verdict === button.dataset.verdict));
    }
    at("comment").disabled = !mark;
    at("move").disabled = !mark?.can_move;
    at("delete").disabled = !mark?.rings;
    for (const button of at("found").querySelectorAll("button")) {
      const isChosen = button.dataset.id === this.chosen;
      button.toggleAttribute("aria-current", isChosen);
      if (isChosen) button.scrollIntoView({ block: "nearest" });
    }
  }

  mapLayer() {
    return { isShown: at("show-map").checked, opacity: at("opacity").value / 100, above: Number(at("above").value) };
  }

  showLayers() {
    at("opacity").nextElementSibling.textContent = `${at("opacity").value}%`;
    at("above").nextElementSibling.textContent = (at("above").value / 100).toFixed(2);
    if (!this.slide) return;
    this.viewer.setMap(this.mapLayer());
    for (const layer of LAYERS) this.viewer.overlay.show(layer, at(`show-${layer}`).checked);
    this.viewer.osd.forceRedraw();
    this.viewer.follow();
  }

  toggle(id) {
    at(id).checked = !at(id).checked;
    this.showLayers();
  }

  // --- moving about ---------------------------------------------------------------------------------------------

  choose(id) {
    if (this.drawing.mode) return;
    this.chosen = id;
    const mark = this.chosenMark;
    const um = mark.rings ? Math.max(umAt(this.magnification), this.viewer.umFor(mark.rings)) : umAt(this.magnification);
    this.viewer.goTo({ x: mark.x, y: mark.y, um });
    this.#fill();
    this.draw();
    this.page.say(`${mark.name}, ${WORDS[mark.verdict] ?? "no verdict yet"}`);
  }

  /** Go to the detection at a place of the queue. */
  chooseAt({ x, y }) {
    const mark = this.detections.find((detection) => detection.x === x && detection.y === y);
    if (mark) this.choose(mark.id);
    else this.page.say("This detection is not there any more.");
  }

  get magnification() {
    return Number(at("magnification").value);
  }

  /** The next (1) or previous (-1) among some marks. */
  step(by, marks = this.detections, what = "detection") {
    const index = marks.findIndex(({ id }) => id === this.chosen);
    const next = index < 0 ? marks.at(by > 0 ? 0 : -1) : marks[index + by];
    if (next) this.choose(next.id);
    else this.page.say(by > 0 ? `No further ${what}.` : `No earlier ${what}.`);
  }

  stepOutline() {
    const marks = this.outlines;
    if (!marks.length) {
      this.page.say("No outline.");
      return;
    }
    const index = marks.findIndex(({ id }) => id === this.chosen);
    this.choose(marks[(index + 1) % marks.length].id);
  }

  // --- verdicts -------------------------------------------------------------------------------------------------

  /** One change after another: what is typed while one is saved is meant for what is chosen after it. */
  #inTurn(act) {
    this.turn = this.turn.then(act).catch((error) => this.page.complain(error.message));
    return this.turn;
  }

  /** Send a change; the answer is the new state. Returns null if it was refused. */
  async #change(change) {
    const { number } = this.slide;
    try {
      return this.#take(number, await post(`slides/${number}/verdicts`, change));
    } catch (error) {
      if (error.content?.marks) this.#take(number, error.content);
      this.page.complain(error.message);
      return null;
    }
  }

  #take(number, state) {
    if (this.slide?.number !== number) return null;
    Object.assign(this.slide, { marks: state.marks, revision: state.revision });
    if (!this.chosenMark) this.chosen = null;
    if (state.said) this.page.complain(`Another program changed the verdicts of this slide: ${state.said}. This is kept and shown.`);
    this.#fill();
    this.draw();
    return state;
  }

  judge(verdict) {
    return this.#inTurn(() => this.#judge(verdict));
  }

  async #judge(verdict) {
    const mark = this.chosenMark;
    if (!mark || this.drawing.mode) return;
    if (!(await this.#change({ action: "judge", id: mark.id, verdict }))) return;
    this.page.say(`${mark.name}: ${WORDS[verdict] ?? "no verdict"}`);
    if (verdict && mark.source === "detection") this.page.goOn();
  }

  /** To the next detection without a verdict, after the last to the first of them; false if there is none. */
  goOn() {
    const marks = this.detections;
    const index = marks.findIndex(({ id }) => id === this.chosen);
    const next = [...marks.slice(index + 1), ...marks.slice(0, index)].find(({ verdict }) => !verdict);
    if (next) this.choose(next.id);
    return Boolean(next);
  }

  undo() {
    return this.#inTurn(() => this.#undo());
  }

  async #undo() {
    if (!this.slide || this.drawing.mode) return;
    const state = await this.#change({ action: "undo" });
    if (!state) return;
    this.page.say(state.changed.length ? "Taken back." : "Nothing to take back.");
    const mark = this.slide.marks.find(({ id }) => state.changed.includes(id));
    if (mark) this.choose(mark.id);
  }

  async comment() {
    const mark = this.chosenMark;
    if (!mark || this.drawing.mode) return;
    at("comment-of").textContent = mark.name;
    at("comment-text").value = mark.comment;
    at("comment-dialog").returnValue = "";
    at("comment-dialog").showModal();
    await new Promise((resolve) => at("comment-dialog").addEventListener("close", resolve, { once: true }));
    const text = at("comment-text").value.trim();
    if (at("comment-dialog").returnValue === "keep" && text !== mark.comment) await this.#change({ action: "comment", id: mark.id, text });
  }

  startDrawing() {
    if (!this.slide) return;
    this.drawing.draw((rings) => this.#add(rings));
  }

  async #add(rings) {
    const state = await this.#change({ action: "add", rings });
    if (!state) return;
    [this.chosen] = state.changed;
    this.draw();
    this.page.say("Outline kept as tumor; n or u changes that.");
  }

  startMoving() {
    const mark = this.chosenMark;
    if (!mark?.can_move) {
      this.page.say("Choose an outline of one part first (s).");
      return;
    }
    this.drawing.move(mark.rings, (rings) => this.#change({ action: "move", id: mark.id, rings }));
  }

  remove() {
    return this.#inTurn(() => this.#remove());
  }

  async #remove() {
    const mark = this.chosenMark;
    if (!mark?.rings || this.drawing.mode) return;
    if (await this.#change({ action: "delete", id: mark.id })) this.page.say(`${mark.name} deleted; z takes that back.`);
  }

  /** Look whether another program changed the file. */
  async poll() {
    if (!this.slide || document.hidden || this.drawing.mode) return;
    const { number, revision } = this.slide;
    try {
      const state = await get(`slides/${number}/verdicts?revision=${revision}`);
      if (state.marks) this.#take(number, state);
    } catch (error) {
      this.page.complain(error.message);
    }
  }

  #listen() {
    for (const id of ["show-map", "opacity", "above", ...LAYERS.map((layer) => `show-${layer}`)]) {
      at(id).addEventListener("input", () => this.showLayers());
    }
    for (const button of at("verdicts").querySelectorAll("button[data-verdict]")) {
      button.addEventListener("click", () => this.judge(button.dataset.verdict));
    }
    for (const [id, act] of Object.entries({
      undo: () => this.undo(),
      comment: () => this.comment(),
      draw: () => this.startDrawing(),
      move: () => this.startMoving(),
      delete: () => this.remove(),
    })) {
      at(id).addEventListener("click", act);
    }
    at("comment-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("comment-dialog").close("keep");
    });
    window.addEventListener("focus", () => this.poll());
    setInterval(() => this.poll(), POLL_AFTER);
  }
}
