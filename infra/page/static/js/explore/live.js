// The viewer's grid as it changes: Server-Sent Events, for as long as somebody looks.
//
// Read by fetch and not by EventSource, which sends no key.

import { get } from "../api.js";
import { credentials } from "../key.js";
import { complain } from "../toasts.js";

/** Nobody is known by this key, or may not see this viewer: asked again it is the same. */
const REFUSED = [401, 403];
/** A stream that was refused or lost is asked for again after this. */
const AGAIN_MS = 3000;

/**
 * Follow a viewer's grid. A tab that nobody sees lets go of its stream: a browser has six for one host.
 *
 * @param {string} viewerId
 * @param {(page: object) => void} onGrid with the body of /v1/explore
 * @param {(live: boolean) => void} onState whether the stream stands
 * @returns {() => void} ends it
 */
export function follow(viewerId, onGrid, onState) {
  const address = `/v1/live?${new URLSearchParams({ viewer_id: viewerId })}`;
  let ending = null, again = 0;

  async function open() {
    close();
    const mine = (ending = new AbortController());
    try {
      const answer = await fetch(address, { headers: credentials(), signal: mine.signal });
      if (answer.ok) {
        onState(true);
        for await (const { name, data } of events(answer.body)) {
          if (mine.signal.aborted) return;
          onState(name !== "problem");
          if (name === "grid") onGrid(JSON.parse(data));
        }
      } else if (REFUSED.includes(answer.status)) {
        // The same by a request that asks a person for a key, or says why not.
        const page = await get("/v1/explore", { viewer_id: viewerId });
        if (mine.signal.aborted) return;
        onGrid(page);
        open();
        return;
      }
    } catch (error) {
      if (REFUSED.includes(error.status)) {
        if (mine.signal.aborted) return;
        onState(false);
        complain(error);
        return;
      }
      // Lost, or ended here.
    }
    if (mine.signal.aborted) return;
    onState(false);
    again = setTimeout(open, AGAIN_MS);
  }

  function close() {
    clearTimeout(again);
    ending?.abort();
    ending = null;
  }

  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    close();
  };
}

/** The events of a stream: name and data, which is one line. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const told = { name: "message", data: "" };
      for (const line of text.slice(0, end).split("\n")) {
        if (line.startsWith("event: ")) told.name = line.slice(7);
        if (line.startsWith("data: ")) told.data = line.slice(6);
      }
      text = text.slice(end + 2);
      if (told.data) yield told;
    }
  }
}
