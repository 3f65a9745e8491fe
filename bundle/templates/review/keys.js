// Keys: one table for what they do and for the help. Fields keep theirs.

const FIELDS = "textarea, select, input:not([type=checkbox]):not([type=range]), dialog";

export class Keys {
  /**
   * @param {{keys: string[], text: string, act: function(KeyboardEvent): void, when?: function(): boolean}[]} table
   *   keys as KeyboardEvent.key names them; the first row that has the key and whose `when` holds acts.
   */
  constructor(table) {
    this.table = table;
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  #press(event) {
    if (event.altKey || event.target.closest?.(FIELDS)) return;
    const isRange = event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow");
    const activates = event.target.matches?.("button, a, input") && [" ", "Enter"].includes(event.key);
    if (isRange || activates) return;
    const name = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const row = this.table.find(({ keys, when }) => keys.includes(name) && (when?.() ?? true));
    if (!row) return;
    event.preventDefault();
    row.act(event);
  }

  /** Fill a list of definitions with the table. */
  explain(list) {
    list.replaceChildren();
    for (const { keys, text } of this.table) {
      if (!text) continue;
      const row = list.appendChild(document.createElement("div"));
      const term = row.appendChild(document.createElement("dt"));
      for (const key of keys) term.appendChild(document.createElement("kbd")).textContent = SHOWN[key] ?? key;
      row.appendChild(document.createElement("dd")).textContent = text;
    }
  }
}

const SHOWN = {
  " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc",
};
