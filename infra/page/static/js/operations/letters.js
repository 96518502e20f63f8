// Dead letters: which, why, their records; edited and sent again.

import { get, send } from "../api.js";
import { figure, fill, h } from "../dom.js";
import { complain, toast } from "../toasts.js";
import { ago, badge, dialogue, part, show } from "./parts.js";

export class Letters {
  /** @param {() => void} changed called after one was sent again */
  constructor(changed) {
    this.changed = changed;
    this.list = h("div", { class: "stack" });
    this.node = part("Dead letters", h("p", { class: "quiet" },
      "Records that could not be applied. What is mended is sent to its topic again, and checked as if it were new."), this.list);
  }

  async load() {
    const told = await get("/v1/dead-letters");
    const open = told.dead_letters.filter((one) => one.redriven_ms === null);
    show(this.list, [told.redriven, open], () => [
      open.length ? h("ul", { class: "rows" }, open.map((one) => this.#row(one))) : h("p", { class: "note right" }, "None waits."),
      told.redriven > 0 && h("p", { class: "quiet" }, `${figure(told.redriven)} of the newest ${figure(told.total)} were sent again.`),
    ]);
  }

  #row(letter) {
    return h("li", {}, h("button", { type: "button", class: "line", data: { letter: letter.id }, onclick: () => this.#open(letter) },
      badge("look", letter.error),
      h("span", { class: "grow" }, h("b", {}, letter.message), h("small", {}, `${letter.topic}, key ${letter.key ?? "none"}, ${ago(letter.first_seen)}`)),
      h("span", { class: "quiet" }, "Look and mend")));
  }

  async #open(letter) {
    let told;
    try {
      told = await get(`/v1/dead-letters/${encodeURIComponent(letter.id)}`);
    } catch (error) {
      complain(error);
      return;
    }
    const text = told.value ?? "";
    const field = h("textarea", { class: "field record", "aria-label": "The record", spellcheck: "false", rows: "8", value: pretty(text) });
    const said = h("div", { role: "status" });
    const go = h("button", { type: "button", class: "button main" }, "Send again");
    const dialog = dialogue(`Dead letter ${letter.id}`,
      h("dl", { class: "facts" },
        h("dt", {}, "Why"), h("dd", {}, `${told.error}: ${told.message}`),
        h("dt", {}, "Where"), h("dd", { class: "id" }, `${told.topic} ${told.partition}:${told.offset}, key ${told.key ?? "none"}`),
        h("dt", {}, "When"), h("dd", {}, new Date(told.first_seen).toISOString())),
      told.value === null && h("p", { class: "note" }, "The record is no text; only as it is can it be sent again."),
      told.truncated && h("p", { class: "note" }, `Only the beginning of ${figure(told.size)} bytes is shown.`),
      field, said, h("div", { class: "row" }, go));
    field.disabled = told.value === null || told.truncated;
    go.onclick = async () => {
      go.disabled = true;
      try {
        // As it died, byte for byte, where nobody touched it.
        const value = field.disabled || field.value === pretty(text) ? null : field.value;
        await send("POST", `/v1/dead-letters/${encodeURIComponent(letter.id)}/redrive`, { value });
        dialog.close();
        toast([`Sent to ${told.topic} again.`]);
        await this.load();
        this.changed();
      } catch (error) {
        fill(said, h("p", { class: "note bad" }, error.message));
        go.disabled = false;
      }
    };
    field.focus();
  }
}

/** JSON on lines of its own; what is none stays as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
