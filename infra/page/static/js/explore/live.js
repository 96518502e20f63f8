// The viewer's grid as it changes: Server-Sent Events, for as long as somebody looks.

/** A stream that was refused is asked for again after this. */
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
  let source = null, again = 0;

  function open() {
    clearTimeout(again);
    source?.close();
    source = new EventSource(address);
    source.addEventListener("grid", (event) => {
      onState(true);
      onGrid(JSON.parse(event.data));
    });
    source.addEventListener("problem", () => onState(false));
    source.addEventListener("open", () => onState(true));
    source.addEventListener("error", () => {
      onState(false);
      // A lost stream comes back by itself, one that was refused does not.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
    });
  }

  function close() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    close();
  };
}
