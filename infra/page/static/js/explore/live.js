// The viewer's grid as it changes: Server-Sent Events that reconnect by themselves.

/**
 * Follow a viewer's grid.
 *
 * @param {string} viewerId
 * @param {(page: object) => void} onGrid with the body of /v1/explore
 * @param {(live: boolean) => void} onState whether the stream stands
 * @returns {() => void} ends it
 */
export function follow(viewerId, onGrid, onState) {
  const source = new EventSource(`/v1/live?${new URLSearchParams({ viewer_id: viewerId })}`);
  source.addEventListener("grid", (event) => {
    onState(true);
    onGrid(JSON.parse(event.data));
  });
  source.addEventListener("problem", () => onState(false));
  source.addEventListener("open", () => onState(true));
  source.addEventListener("error", () => onState(false));
  return () => source.close();
}
