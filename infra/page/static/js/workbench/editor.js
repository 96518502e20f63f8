// A text field for IGQL: words in colour, mistakes underlined where they are, completion at the caret.

import { fill, h } from "../dom.js";
import { completions, tokens } from "./tokens.js";

const MOST_CHOICES = 9;

export class Editor {
  /** @param {{text: string, changed: (text: string) => void}} of */
  constructor({ text, changed }) {
    this.changed = changed;
    this.operators = new Map();
    this.mistakes = [];
    this.choices = [];
    this.paper = h("pre", { class: "paper", "aria-hidden": "true" });
    this.list = h("ul", { class: "choices", role: "listbox", id: "choices", "aria-label": "What may stand here", hidden: true });
    this.field = h("textarea", {
      class: "typed", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "soft", value: text, rows: "1",
      "aria-label": "Query in IGQL", "aria-autocomplete": "list", "aria-controls": "choices", "aria-describedby": "mistakes",
      oninput: () => { this.#paint(); this.#suggest(); changed(this.text); },
      onkeydown: (event) => this.#key(event), onblur: () => this.#close(),
      onclick: () => this.#close(),
    });
    this.node = h("div", { class: "editor" }, this.paper, this.field, this.list);
    this.#paint();
  }

  get text() {
    return this.field.value;
  }

  set text(text) {
    this.field.value = text;
    this.mistakes = [];
    this.#paint();
    this.changed(text);
  }

  /** Underline these; none if all is right. */
  show(mistakes) {
    this.mistakes = mistakes;
    this.field.setAttribute("aria-invalid", String(mistakes.length > 0));
    this.#paint();
  }

  /** Put the caret at a mistake. */
  goTo({ from, to }) {
    this.field.focus();
    this.field.setSelectionRange(from, to);
  }

  #paint() {
    const wrong = (at) => this.mistakes.some(({ from, to }) => at < to && at >= from);
    const pieces = tokens(this.text).flatMap(({ text, kind, at }) => {
      const class_ = wrong(at) ? `t-${kind} wrong` : `t-${kind}`;
      return kind === "space" && !wrong(at) ? [text] : [h("span", { class: class_ }, text)];
    });
    // The last line has a height, too; a mistake at the end of the text has a place.
    const end = h("span", { class: wrong(this.text.length) ? "wrong" : "" }, " ");
    fill(this.paper, pieces, end);
  }

  #suggest(asked = false) {
    const caret = this.field.selectionStart;
    const found = completions(this.text.slice(0, caret), this.operators);
    const begun = found && caret > found.from;
    const after = /[.(,=]\s?$/.test(this.text.slice(0, caret));
    if (!found || !(begun || after || asked)) return this.#close();
    this.from = found.from;
    this.choices = found.choices.slice(0, MOST_CHOICES);
    this.chosen = 0;
    fill(this.list, this.choices.map(({ text, told }, at) => h("li", {
      role: "option", id: `choice-${at}`, onmousedown: (event) => { event.preventDefault(); this.#take(at); },
    }, h("b", {}, text), h("small", {}, told))));
    this.list.hidden = false;
    this.#place(found.from);
    this.#mark();
    return undefined;
  }

  /** Put the list under the character where the begun word starts. */
  #place(from) {
    const range = document.createRange();
    const walker = document.createTreeWalker(this.paper, NodeFilter.SHOW_TEXT);
    let left = from, node = walker.nextNode();
    while (node && left > node.length) {
      left -= node.length;
      node = walker.nextNode();
    }
    if (!node) return;
    range.setStart(node, left);
    const at = range.getBoundingClientRect(), room = this.node.getBoundingClientRect();
    this.list.style.left = `${Math.max(0, Math.min(at.left - room.left, room.width - 330))}px`;
    this.list.style.top = `${at.bottom - room.top + 4}px`;
  }

  #mark() {
    [...this.list.children].forEach((node, at) => node.setAttribute("aria-selected", String(at === this.chosen)));
    this.field.setAttribute("aria-activedescendant", `choice-${this.chosen}`);
  }

  #close() {
    this.choices = [];
    this.list.hidden = true;
    this.field.removeAttribute("aria-activedescendant");
  }

  #take(at) {
    const { text, call = "" } = this.choices[at];
    const caret = this.field.selectionStart;
    const follows = this.text[caret] ?? "";
    const put = text + (call && call[0] !== follows ? call : "");
    this.field.setRangeText(put, this.from, caret, "end");
    this.#paint();
    this.#close();
    this.changed(this.text);
    if (call === "(") this.#suggest();
  }

  #key(event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.#suggest(true);
      return;
    }
    if (!this.choices.length) return;
    const count = this.choices.length;
    if (event.key === "ArrowDown") this.chosen = (this.chosen + 1) % count;
    else if (event.key === "ArrowUp") this.chosen = (this.chosen + count - 1) % count;
    else if (event.key === "Enter" || event.key === "Tab") {
      event.preventDefault();
      this.#take(this.chosen);
      return;
    } else {
      if (event.key === "Escape") {
        event.preventDefault();
        this.#close();
      }
      return;
    }
    event.preventDefault();
    this.#mark();
  }
}
