// The page: the worklist and one slide, told apart by the address; keys.

import { get } from "./api.js";
import { Keys } from "./keys.js";
import { readPlace, writePlace } from "./scale.js";
import { SlidePage } from "./slide.js";
import { Viewer } from "./viewer.js";
import { Worklist, addressOf } from "./worklist.js";

const at = (id) => document.getElementById(id);
const worklist = new Worklist();
const viewer = new Viewer(at("viewer"), keepPlace);
const page = new SlidePage(viewer, { say, complain, goOn });
let asked = null; // the place of the queue that its slide is opened for

// --- messages ---------------------------------------------------------------------------------------------------

function complain(text) {
  at("message-text").textContent = text;
  at("message").hidden = false;
}

function say(text) {
  at("said").textContent = text;
}

function sayDone(text) {
  say(text);
  complain(text);
}

// --- addresses --------------------------------------------------------------------------------------------------

function readAddress() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [, kind, name] = path.split("/");
  return kind === "slide" && name ? { name: decodeURIComponent(name), place: readPlace(new URLSearchParams(query)) } : null;
}

function keepPlace(place) {
  const { slide } = page;
  if (slide && readAddress()?.name === slide.name) history.replaceState(null, "", addressOf(slide.name, writePlace(place)));
}

async function follow() {
  at("message").hidden = true;
  const wanted = readAddress();
  try {
    if (!wanted) {
      page.close();
      showMain("list");
      document.title = "Review";
      worklist.fill(await get("worklist"));
    } else if (wanted.name === page.slide?.name) {
      if (wanted.place) viewer.goTo(wanted.place);
    } else {
      if (!worklist.slides.length) worklist.fill(await get("worklist"));
      const row = worklist.find(wanted.name);
      if (!row) throw new Error(`no slide ${wanted.name} in this review`);
      showMain("slide");
      const place = asked?.name === wanted.name ? asked : null;
      asked = null;
      await page.open(row, wanted.place, () => readAddress()?.name === wanted.name);
      if (place) page.chooseAt(place);
    }
  } catch (error) {
    complain(error.message);
  }
}

function showMain(id) {
  for (const main of ["list", "slide"]) at(main).hidden = main !== id;
}

// --- from detection to detection: on the slide, or in the queue over all slides ---------------------------------

/** Where the reader is in the queue: -1 where he is not. */
function placeInQueue() {
  const mark = page.chosenMark;
  return worklist.queue.findIndex(({ name, x, y }) => mark && name === page.slide.name && x === mark.x && y === mark.y);
}

function goToPlace(place) {
  if (place.name === page.slide?.name) {
    page.chooseAt(place);
    return;
  }
  asked = place;
  leaveFor(place.name);
}

function leaveFor(name) {
  page.close();
  location.hash = addressOf(name);
}

function step(by) {
  if (!worklist.queue) {
    page.step(by);
    return;
  }
  const index = placeInQueue();
  const next = index < 0 ? worklist.queue.findIndex(({ is_judged: isJudged }) => !isJudged) : index + by;
  if (worklist.queue[next]) goToPlace(worklist.queue[next]);
  else say(by > 0 ? "No further detection." : "No earlier detection.");
}

/** After a verdict: to the next detection without one. */
function goOn() {
  if (!worklist.queue) {
    if (!page.goOn()) sayDone("Each detection of this slide has a verdict. ] leads to the next slide, l to the worklist.");
    return;
  }
  const index = placeInQueue();
  if (index >= 0) worklist.queue[index].is_judged = true;
  const rest = [...worklist.queue.slice(index + 1), ...worklist.queue.slice(0, Math.max(index, 0))];
  const next = rest.find(({ is_judged: isJudged }) => !isJudged);
  if (next) goToPlace(next);
  else sayDone("Each detection that was asked about has a verdict. l leads to the worklist.");
}

function goBeside(by) {
  const slide = worklist.beside(readAddress().name, by);
  if (slide) leaveFor(slide.name);
  else say(by > 0 ? "No further slide." : "No earlier slide.");
}

// --- keys and buttons -------------------------------------------------------------------------------------------

const onSlide = () => page.slide !== null;
const isOpening = () => page.slide === null && readAddress() !== null;
const isDrawing = () => page.drawing.mode === "draw";
const isMoving = () => page.drawing.mode === "move";
const isBusy = () => page.drawing.mode !== null;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function moveBy(event) {
  const [right, down] = ARROWS[event.key];
  if (isMoving()) page.drawing.nudge(right * 8, down * 8);
  else viewer.panBy(right * (isDrawing() ? 0.05 : 0.2), down * (isDrawing() ? 0.05 : 0.2));
}

const keys = new Keys([
  { keys: [" "], text: "while drawing: a corner at the crosshair", when: isDrawing, act: () => page.drawing.addCorner() },
  { keys: ["Backspace"], text: "while drawing: take a corner back", when: isDrawing, act: () => page.drawing.takeCornerBack() },
  { keys: ["Enter"], text: "close the outline, or keep it where it was moved to", when: isBusy, act: () => page.drawing.finish() },
  { keys: ["Escape"], text: "give up drawing or moving", when: isBusy, act: () => page.drawing.end() },
  { keys: ["j"], text: "next detection", when: () => onSlide() || (worklist.queue && !isOpening()), act: () => step(1) },
  { keys: ["k"], text: "previous detection", when: onSlide, act: () => step(-1) },
  { keys: ["t"], text: "tumor", when: onSlide, act: () => page.judge("tumor") },
  { keys: ["n"], text: "not tumor", when: onSlide, act: () => page.judge("not_tumor") },
  { keys: ["u"], text: "unsure", when: onSlide, act: () => page.judge("unsure") },
  { keys: ["x"], text: "no verdict", when: onSlide, act: () => page.judge(null) },
  { keys: ["z", "Ctrl+z"], text: "undo", when: onSlide, act: () => page.undo() },
  { keys: ["c"], text: "comment", when: onSlide, act: () => page.comment() },
  { keys: ["p"], text: "draw an outline (pen)", when: onSlide, act: () => page.startDrawing() },
  { keys: ["s"], text: "choose the next outline", when: onSlide, act: () => page.stepOutline() },
  { keys: ["m"], text: "move the chosen outline", when: onSlide, act: () => page.startMoving() },
  { keys: ["Delete"], text: "delete the chosen outline", when: onSlide, act: () => page.remove() },
  { keys: ["]"], text: "next slide", when: () => readAddress() !== null, act: () => goBeside(1) },
  { keys: ["["], text: "previous slide", when: () => readAddress() !== null, act: () => goBeside(-1) },
  { keys: ["l"], text: "worklist", when: () => readAddress() !== null, act: () => (location.hash = "#/") },
  { keys: ["+", "="], text: "zoom in", when: onSlide, act: () => viewer.zoomBy(2) },
  { keys: ["-"], text: "zoom out", when: onSlide, act: () => viewer.zoomBy(0.5) },
  { keys: ["0"], text: "whole slide", when: onSlide, act: () => viewer.goHome() },
  { keys: Object.keys(ARROWS), text: "move the slide, or the outline that is being moved", when: onSlide, act: moveBy },
  { keys: ["h"], text: "probability map on or off", when: onSlide, act: () => page.toggle("show-map") },
  { keys: ["o"], text: "outlines on or off", when: onSlide, act: () => page.toggle("show-outlines") },
  { keys: ["b"], text: "numbered marks on or off", when: onSlide, act: () => page.toggle("show-marks") },
  { keys: ["g"], text: "truth on or off", when: onSlide, act: () => page.toggle("show-truth") },
  { keys: ["?"], text: "this help", act: () => at("help").showModal() },
]);
keys.explain(at("help-keys"));

for (const [id, act] of Object.entries({
  "zoom-in": () => viewer.zoomBy(2),
  "zoom-out": () => viewer.zoomBy(0.5),
  "zoom-home": () => viewer.goHome(),
  "slide-before": () => goBeside(-1),
  "slide-after": () => goBeside(1),
  start: () => step(1),
  "message-close": () => (at("message").hidden = true),
})) {
  at(id).addEventListener("click", act);
}
for (const button of document.querySelectorAll("button.help")) button.addEventListener("click", () => at("help").showModal());
page.showLayers();
window.addEventListener("hashchange", follow);
follow();
