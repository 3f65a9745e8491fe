"use strict";

const collator = new Intl.Collator(undefined, { numeric: true });

function comparison(kind, sign) {
  if (kind === "number") {
    return (a, b) => sign * (Number(a) - Number(b));
  }
  return (a, b) => sign * collator.compare(a, b);
}

function sortBy(header) {
  const table = header.closest("table");
  const headers = [...header.parentElement.children];
  const index = headers.indexOf(header);
  // numbers first from high to low, text from A to Z
  const first = header.dataset.kind === "number" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const direction = header.getAttribute("aria-sort") === first ? second : first;
  headers.forEach((other) => other.setAttribute("aria-sort", other === header ? direction : "none"));
  const compare = comparison(header.dataset.kind, direction === "ascending" ? 1 : -1);
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.sort((a, b) => compare(a.cells[index].dataset.value, b.cells[index].dataset.value));
  body.append(...rows);
  const status = document.getElementById("sorted");
  status.textContent = `Sorted by ${header.textContent.trim()}, ${direction}.`;
}

function filterSlides(text) {
  const wanted = text.trim().toLowerCase();
  const rows = [...document.querySelectorAll("#cohort-table tbody tr")];
  rows.forEach((row) => {
    row.hidden = !row.cells[1].dataset.value.toLowerCase().includes(wanted);
  });
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("filtered").textContent = wanted ? `${shown} of ${rows.length} ${rows.length === 1 ? "slide" : "slides"}` : "";
}

function setOpacity(slider) {
  const percent = `${slider.value}%`;
  slider.closest(".viewer").querySelector(".stage").style.setProperty("--opacity", slider.value / 100);
  slider.setAttribute("aria-valuetext", percent);
  slider.parentElement.querySelector("output").textContent = percent;
}

// --- keys: n and p go to the next and previous slide, j and k to the next and previous finding ---

const steps = {
  n: [".slide", 1], ArrowRight: [".slide", 1], p: [".slide", -1], ArrowLeft: [".slide", -1],
  j: [".finding", 1], k: [".finding", -1],
};
let here = null; // the slide or the finding to which a key led last

// where the reader is: what has the focus, else what a key led to, else the slide at the top of the window
function place() {
  const focused = document.activeElement.closest(".finding, .slide");
  if (focused) {
    return focused;
  }
  const line = Math.min(200, window.innerHeight / 3);
  const isSeen = (element) => element && element.getBoundingClientRect().top < window.innerHeight
    && element.getBoundingClientRect().bottom > 0;
  if (isSeen(here)) {
    return here;
  }
  return [...document.querySelectorAll(".slide")].filter((slide) => slide.getBoundingClientRect().top <= line).pop() ?? null;
}

function neighbor(selector, step) {
  const from = place();
  const all = [...document.querySelectorAll(selector)];
  if (!from) {
    return step > 0 ? all[0] : undefined;
  }
  const current = from.closest(selector);
  if (current) {
    return all[all.indexOf(current) + step];
  }
  // from a slide to a finding: the first in it or after it, or the last before it
  const after = all.findIndex((item) => from.compareDocumentPosition(item) & Node.DOCUMENT_POSITION_FOLLOWING);
  const first = after < 0 ? all.length : after;
  return all[step > 0 ? first : first - 1];
}

function goTo(item) {
  const isSlide = item.classList.contains("slide");
  const { style } = document.documentElement;
  here = item;
  style.scrollBehavior = "auto"; // who presses a key many times does not want to watch
  // replaced, so that the way back does not lead over each of them; a finding's mark lights up on the slide
  window.location.replace(`#${isSlide ? item.id : item.dataset.mark}`);
  const target = isSlide ? item.querySelector("h3") : item;
  target.focus({ preventScroll: true });
  item.scrollIntoView({ block: isSlide ? "start" : "nearest", behavior: "instant" });
  requestAnimationFrame(() => { style.scrollBehavior = ""; });
}

document.addEventListener("keydown", (event) => {
  const isTaken = event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey;
  const isTyping = event.target.closest("input:not([type=checkbox]), select, textarea, .table");
  const step = steps[event.key];
  if (!step || isTaken || isTyping || !document.getElementById("keys").checked) {
    return;
  }
  event.preventDefault();
  const item = neighbor(...step);
  const name = step[0] === ".slide" ? "slide" : "finding";
  document.getElementById("moved").textContent = item ? "" : `No ${step[1] > 0 ? "further" : "earlier"} ${name}.`;
  if (item) {
    goTo(item);
  }
});

document.querySelector(".keys").hidden = false; // without this script they do nothing

document.addEventListener("click", (event) => {
  const button = event.target.closest(".sortable th button");
  if (button) {
    sortBy(button.closest("th"));
  }
});

document.addEventListener("input", (event) => {
  const control = event.target;
  if (control.id === "filter") {
    filterSlides(control.value);
  } else if (control.type === "range") {
    setOpacity(control);
  } else if (control.dataset.layer) {
    const stage = control.closest(".viewer").querySelector(".stage");
    stage.classList.toggle(`no-${control.dataset.layer}`, !control.checked);
  }
});

// a browser that keeps what was set before a reload shows it, too
document.querySelectorAll(".controls input").forEach((control) => {
  control.dispatchEvent(new Event("input", { bubbles: true }));
});
