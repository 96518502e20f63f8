// The profile of an account: what it posted, and which accounts are near.

import { address } from "./address.js";
import { get } from "./api.js";
import { figure, fill, h, icon } from "./dom.js";
import { face } from "./picture.js";
import { complain, toast } from "./toasts.js";
import { Acts, WORDS } from "./explore/acts.js";
import { WhyPanel } from "./explore/why.js";
import { Mosaic } from "./explore/mosaic.js";

const POSTS = 60;
const NEAR = 12;

export class AccountPage {
  constructor({ main, viewerId, parameters }) {
    this.accountId = parameters.get("id") ?? "";
    this.title = this.accountId;
    this.viewerId = viewerId;
    this.main = main;
    this.acts = new Acts(viewerId);
    const act = (kind, item, card) => this.#act(kind, item, card);
    this.why = new WhyPanel({ viewerId, acts: this.acts, act, closed: () => this.mosaic.focus() });
    this.mosaic = new Mosaic({ open: (tile) => this.why.open(tile.item, tile.card), act: (kind, tile) => act(kind, tile.item, tile.card) });
    this.mosaic.node.classList.add("plain");
    this.mosaic.node.setAttribute("aria-label", `Posts of ${this.accountId}`);
    fill(main, h("p", { class: "end" }, "Looking …"));
    this.#load();
  }

  /** Leave the page. */
  close() {
    this.why.close({ quietly: true });
    this.mosaic.close();
  }

  async #load() {
    let told;
    try {
      told = await get(`/v1/accounts/${encodeURIComponent(this.accountId)}`, { posts: POSTS, neighbours: NEAR });
    } catch (error) {
      fill(this.main, h("div", { class: "padded stack" }, h("h1", {}, this.accountId), h("p", { class: "note bad" }, error.message)));
      return;
    }
    const { account, posts, neighbours } = told;
    const topic = account.topics[0] ?? "";
    const likes = account.counts.like ?? 0;
    const count = (value, name) => h("div", {}, h("b", {}, value), " ", h("span", { class: "quiet" }, name));
    fill(this.main,
      h("div", { class: "profile" }, face(this.accountId, topic, 132),
        h("div", {}, h("h1", {}, this.accountId),
          h("p", { class: "quiet" }, account.topics.length ? `topic ${account.topics.join(", ")}` : "no topic",
            account.private ? " · private" : "", account.disabled ? " · disabled" : "", account.deleted ? " · deleted" : ""),
          h("div", { class: "counts" }, count(posts.length === POSTS ? `${POSTS}+` : String(posts.length), posts.length === 1 ? "post" : "posts"), count(figure(Math.round(likes * 10) / 10), "likes of late"), count(String(neighbours.length), "near")))),
      h("div", { class: "row spread padded" }, h("h2", {}, "Nearest accounts"),
        account.has_vector && h("a", { class: "button", href: address("map", { id: this.accountId, viewer: this.viewerId }) }, icon("map"), "On the map")),
      neighbours.length
        ? h("div", { class: "near" }, neighbours.map(({ account: one, score }) => h("a", { href: address("account", { id: one.account_id, viewer: this.viewerId }) },
          face(one.account_id, one.topics[0] ?? "", 66), h("span", {}, one.account_id), h("span", { class: "quiet number" }, `${Math.round(100 * score)} % alike`))))
        : h("p", { class: "note profile-note" }, account.has_vector ? "No other account is near." : "This account has no vector yet: too few sessions hold it."),
      posts.length ? this.mosaic.node : h("p", { class: "end" }, "Nothing posted."));
    this.mosaic.show(posts.map((post) => ({ media_id: post.media_id, author_id: this.accountId })));
  }

  async #act(kind, item, card) {
    const done = this.acts.find(kind, item);
    this.mosaic.tiles.get(item.media_id)?.setDone(kind, !done);
    try {
      if (done) await this.acts.undo(done);
      else await this.acts.do(kind, item, card);
      toast([WORDS[kind][done ? 1 : 0]]);
    } catch (error) {
      this.mosaic.tiles.get(item.media_id)?.setDone(kind, Boolean(done));
      complain(error);
    }
  }
}
