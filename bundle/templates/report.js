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
  document.getElementById("filtered").textContent = wanted ? `${shown} of ${rows.length} slides` : "";
}

function setOpacity(slider) {
  const percent = `${slider.value}%`;
  slider.closest(".viewer").querySelector(".stage").style.setProperty("--opacity", slider.value / 100);
  slider.setAttribute("aria-valuetext", percent);
  slider.parentElement.querySelector("output").textContent = percent;
}

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
